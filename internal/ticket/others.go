package ticket

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
)

// serviceNow reads a record of ServiceNow's Table API. People are user names there:
// what the records say of who made and changed them is that and nothing else.
func (s Site) serviceNow(ctx context.Context, c *http.Client, number string) (t access.Ticket, err error) {
	var got struct {
		Result []struct {
			Number      string `json:"number"`
			Active      string `json:"active"`
			State       string `json:"state"`
			Short       string `json:"short_description"`
			Description string `json:"description"`
			Item        string `json:"cmdb_ci.name"`
			Assigned    string `json:"assigned_to.user_name"`
			Opened      string `json:"opened_by.user_name"`
			CreatedBy   string `json:"sys_created_by"`
			UpdatedBy   string `json:"sys_updated_by"`
			Reopened    string `json:"reopen_count"`
		} `json:"result"`
	}
	q := url.Values{
		"sysparm_query": {"number=" + number}, "sysparm_limit": {"2"}, "sysparm_exclude_reference_link": {"true"}, "sysparm_display_value": {"false"},
		"sysparm_fields": {"number,active,state,short_description,description,cmdb_ci.name,assigned_to.user_name,opened_by.user_name,sys_created_by,sys_updated_by,reopen_count"},
	}
	if err := s.get(ctx, c, "/api/now/table/"+url.PathEscape(s.option("table", "incident")), q, s.bearer, &got); err != nil {
		return t, err
	}
	if len(got.Result) == 0 {
		return t, s.unknown()
	}
	r := got.Result[0]
	if len(got.Result) > 1 || r.Number != number || r.Active == "" || r.State == "" {
		return t, s.strange() // a query that is ignored lists everything
	}
	closed := slices.Contains(strings.Split(s.option("closedStates", "6,7,8"), ","), r.State)
	t = access.Ticket{ID: number, Open: r.Active == "true" && !closed, Text: strings.Join([]string{r.Short, r.Description, r.Item}, "\n"),
		Assignee: r.Assigned, Reporter: r.Opened, Editors: []string{r.CreatedBy, r.UpdatedBy}, EditorsKnown: r.CreatedBy != "" && r.UpdatedBy != "",
		Closings: r.Reopened}
	return t, nil
}

func (s Site) option(name, or string) string {
	if v := s.Options[name]; v != "" {
		return v
	}
	return or
}

// gitHub reads an issue of GitHub's REST API, version 2022-11-28. People are the
// numbers of their accounts: a login can come to be another person's. The API does not
// say who changed the text of an issue, so its editors are not known.
func (s Site) gitHub(ctx context.Context, c *http.Client, number string) (t access.Ticket, err error) {
	var got struct {
		Number     int64        `json:"number"`
		Repository string       `json:"repository_url"`
		State      string       `json:"state"`
		Reason     *string      `json:"state_reason"`
		Title      string       `json:"title"`
		Body       *string      `json:"body"`
		User       *account     `json:"user"`
		Assignee   *account     `json:"assignee"`
		Assignees  []account    `json:"assignees"`
		Labels     []namedLabel `json:"labels"`
		Pull       *struct{}    `json:"pull_request"`
	}
	sign := func(req *http.Request) {
		req.Header.Set("Accept", "application/vnd.github+json")
		req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
		req.Header.Set("Authorization", "Bearer "+string(s.Secret.Reveal()))
	}
	if err := s.get(ctx, c, "/repos/"+s.Options["repository"]+"/issues/"+number, nil, sign, &got); err != nil {
		return t, err
	}
	switch {
	case strconv.FormatInt(got.Number, 10) != number || got.State != "open" && got.State != "closed":
		return t, s.strange()
	case got.Pull != nil || !strings.EqualFold(got.Repository, s.Address+"/repos/"+s.Options["repository"]):
		return t, s.unknown() // a pull request, or an issue of another repository
	}
	text := []string{got.Title, said(got.Body)}
	for _, l := range got.Labels {
		text = append(text, l.Name)
	}
	t = access.Ticket{ID: number, Open: got.State == "open", Text: strings.Join(text, "\n"), Assignee: only(got.Assignees), Reporter: got.User.id(), Closings: said(got.Reason)}
	return t, nil
}

type account struct {
	ID int64 `json:"id"`
}

func (a *account) id() string {
	if a == nil || a.ID <= 0 {
		return ""
	}
	return strconv.FormatInt(a.ID, 10)
}

// only is the one account of a list; what is several people's is nobody's.
func only(as []account) string {
	if len(as) != 1 {
		return ""
	}
	return as[0].id()
}

type namedLabel struct {
	Name string `json:"name"`
}

func said(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// gitLab reads an issue of GitLab's API 4. As with GitHub, people are numbers, and who
// changed the text is not said.
func (s Site) gitLab(ctx context.Context, c *http.Client, number string) (t access.Ticket, err error) {
	var got struct {
		IID         int64     `json:"iid"`
		Project     int64     `json:"project_id"`
		State       string    `json:"state"`
		Title       string    `json:"title"`
		Description *string   `json:"description"`
		Labels      []string  `json:"labels"`
		Author      *account  `json:"author"`
		Assignees   []account `json:"assignees"`
		MovedTo     *int64    `json:"moved_to_id"`
	}
	project := s.Options["project"]
	sign := func(req *http.Request) { req.Header.Set("Private-Token", string(s.Secret.Reveal())) }
	if err := s.get(ctx, c, "/api/v4/projects/"+project+"/issues/"+number, nil, sign, &got); err != nil {
		return t, err
	}
	switch {
	case strconv.FormatInt(got.IID, 10) != number || got.State != "opened" && got.State != "closed":
		return t, s.strange()
	case strconv.FormatInt(got.Project, 10) != project || got.MovedTo != nil:
		return t, s.unknown()
	}
	text := append([]string{got.Title, said(got.Description)}, got.Labels...)
	return access.Ticket{ID: number, Open: got.State == "opened", Text: strings.Join(text, "\n"), Assignee: only(got.Assignees), Reporter: got.Author.id()}, nil
}

// plain reads the format that anybody can serve. GET ADDRESS/ID answers
//
//	{"id": "INC-1", "open": true, "text": "…", "assignee": "u1", "reporter": "u2",
//	 "editors": ["u2", "u3"], "closings": "2"}
//
// of which id and open are needed. Whoever leaves editors out does not say who changed
// it; that it was nobody but its reporter is said by naming the reporter.
func (s Site) plain(ctx context.Context, c *http.Client, id string) (t access.Ticket, err error) {
	var got struct {
		ID       string   `json:"id"`
		Open     *bool    `json:"open"`
		Text     string   `json:"text"`
		Assignee string   `json:"assignee"`
		Reporter string   `json:"reporter"`
		Editors  []string `json:"editors"`
		Closings string   `json:"closings"`
	}
	if err := s.get(ctx, c, "/"+url.PathEscape(id), nil, s.bearer, &got); err != nil {
		return t, err
	}
	if got.ID != id || got.Open == nil {
		return t, s.strange()
	}
	return access.Ticket{ID: id, Open: *got.Open, Text: got.Text, Assignee: got.Assignee, Reporter: got.Reporter,
		Editors: got.Editors, EditorsKnown: len(got.Editors) > 0, Closings: got.Closings}, nil
}
