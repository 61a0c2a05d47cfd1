package api

// TokenAdd makes a token for an integration that tells of people.
type TokenAdd struct {
	For     string `json:"for" minLength:"1" maxLength:"32" doc:"How long it is good for, at most 366 days" example:"180d"`
	Overlap string `json:"overlap,omitempty" maxLength:"32" doc:"How long the tokens from before stay good, at most 30 days; absent: they end at once" example:"24h"`
}

// TokenAdded carries the token.
type TokenAdded struct {
	Integration string `json:"integration" example:"corp-scim"`
	Name        string `json:"name" doc:"What the log calls it" example:"9f86d081884c7d659a2f"`
	Token       Secret `json:"token" doc:"Shown once"`
	ExpiresAt   Time   `json:"expires_at" format:"date-time"`
}

// Token is a token that is good, without its secret.
type Token struct {
	Name      string `json:"name" doc:"What the log calls it" example:"9f86d081884c7d659a2f"`
	CreatedAt Time   `json:"created_at" format:"date-time"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`
}

// TokensEnded says how many tokens ended.
type TokensEnded struct {
	Integration string `json:"integration" example:"corp-scim"`
	Ended       int    `json:"ended"`
}
