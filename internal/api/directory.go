package api

// Directory is how a directory is doing.
type Directory struct {
	Integration string             `json:"integration" example:"corp-ad"`
	ReadAt      Time               `json:"read_at,omitzero" format:"date-time" doc:"What had changed by then is known"`
	WholeAt     Time               `json:"whole_at,omitzero" format:"date-time" doc:"Everything was read then"`
	TookMS      int64              `json:"took_ms" doc:"How long the last look took"`
	Trouble     string             `json:"trouble,omitempty" doc:"Why it cannot be read; empty when it can"`
	Since       Time               `json:"trouble_since,omitzero" format:"date-time"`
	Users       int                `json:"users" doc:"Whom Stint knows from it, those who are disabled there too"`
	Groups      int                `json:"groups"`
	Problems    []DirectoryProblem `json:"problems" nullable:"false" doc:"Entries that are passed over, the first 20"`
	More        int                `json:"more_problems" doc:"How many there are besides"`
	Held        *DirectoryHeld     `json:"held,omitempty" doc:"More people are gone than is believed; nobody loses anything until somebody confirms"`
	Answered    int64              `json:"answered" doc:"The last order to read that was carried out"`
}

// DirectoryProblem is an entry that is passed over.
type DirectoryProblem struct {
	Entry string `json:"entry" example:"uid=mira,ou=people,dc=corp,dc=example"`
	Why   string `json:"why"`
}

// DirectoryHeld is a picture that is not believed.
type DirectoryHeld struct {
	Confirm string   `json:"confirm" doc:"What to send to confirm exactly this" example:"9f86d081884c7d65"`
	Gone    int      `json:"gone" doc:"How many would leave, or lose a group"`
	Of      int      `json:"of" doc:"How many are active"`
	Sample  []string `json:"sample" nullable:"false" doc:"The first ten of them"`
}

// DirectorySync has a directory read as a whole.
type DirectorySync struct {
	Confirm string `json:"confirm,omitempty" maxLength:"64" doc:"Those leave whom held names: its confirm"`
}

// DirectoryOrdered is the order to read it.
type DirectoryOrdered struct {
	Integration string `json:"integration"`
	Order       int64  `json:"order" doc:"When the directory's answered is at least this, it was carried out"`
}

// DirectoryTest reads a directory and changes nothing.
type DirectoryTest struct {
	Name string `json:"name,omitempty" maxLength:"256" doc:"Somebody to look up by their name there"`
}

// DirectoryTested is what a directory says.
type DirectoryTested struct {
	Integration string             `json:"integration"`
	Users       int                `json:"users"`
	Active      int                `json:"active" doc:"Those of them who are not disabled there"`
	Groups      int                `json:"groups"`
	Memberships int                `json:"memberships" doc:"Who is in which group, groups within groups too"`
	TookMS      int64              `json:"took_ms"`
	Problems    []DirectoryProblem `json:"problems" nullable:"false" doc:"Entries that would be passed over, the first 20"`
	More        int                `json:"more_problems"`
	Found       []DirectoryPerson  `json:"found" nullable:"false" doc:"Who has the name that was asked for"`
}

// DirectoryPerson is somebody as a directory has them.
type DirectoryPerson struct {
	Name    string   `json:"name"`
	Subject string   `json:"subject" doc:"What never changes"`
	Active  bool     `json:"active"`
	Groups  []string `json:"groups" nullable:"false" doc:"By their names there"`
}
