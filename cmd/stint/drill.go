package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"

	"stint/internal/api"
)

// drillStep is one step of a drill.
type drillStep struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	TookMS int64  `json:"took_ms"`
	Detail string `json:"detail,omitempty"`
}

type drillReport struct {
	Resource string      `json:"resource"`
	Request  string      `json:"request,omitempty"`
	Review   string      `json:"review,omitempty"`
	OK       bool        `json:"ok"`
	Steps    []drillStep `json:"steps"`
}

// step does one and notes how it went. After one that failed the others are not tried,
// but for those that must be whatever happened.
func (d *drillReport) step(name string, always bool, do func() (string, error)) {
	if !d.OK && !always {
		return
	}
	began := time.Now()
	detail, err := do()
	s := drillStep{Name: name, OK: err == nil, Detail: detail, TookMS: time.Since(began).Milliseconds()}
	if err != nil {
		d.OK, s.Detail = false, faultText(err)
	}
	d.Steps = append(d.Steps, s)
}

// drill breaks glass for real and gives it back: everything that will have to work in the
// night when it is needed. What was opened is given back whichever step fails.
func (c *cli) drill(ctx context.Context, q api.GlassAsk, codes []string) error {
	rep := &drillReport{Resource: q.Resource, OK: true, Steps: []drillStep{}}
	var conn *connection
	var r api.Request
	name := "sign in"
	if len(codes) > 0 {
		name = "sign in with codes"
	}
	rep.step(name, false, func() (_ string, err error) {
		if conn, err = c.glassConnection(ctx, codes); err != nil {
			return "", err
		}
		me, err := conn.Whoami(ctx)
		return me.Principal, err
	})
	rep.step("ask", false, func() (_ string, err error) {
		if r, err = c.submitGlass(ctx, conn, q); err != nil {
			return "", err
		}
		rep.Request = r.ID
		if r.State != api.RequestApproved {
			return "", errors.New(reasons(r.Decision))
		}
		return r.ID + ", " + r.Role + " for " + api.Span(r.Duration), nil
	})
	opened := rep.OK
	rep.step("set up on the target", false, func() (_ string, err error) {
		if r, err = c.await(ctx, conn, r, untilReady, 0); err != nil {
			return "", err
		}
		if r.Grant == nil || r.Grant.State != api.GrantActive {
			what, why, _ := refusal(r)
			return "", errors.New(strings.TrimSuffix(what+": "+why, ": "))
		}
		return "ends " + clock(r.Grant.ExpiresAt.Time, c.now()), nil
	})
	var env []string // to sign in to the target with
	own, unlisten := false, func() {}
	defer func() { unlisten() }()
	rep.step("read the credential", false, func() (string, error) {
		var err error
		if own, err = ownAccount(ctx, conn, r); err != nil {
			return "", err
		}
		if own {
			return "none: the rights are on your own account " + r.Grant.Account, nil
		}
		add, err := c.credentialEnv(ctx, conn, r)
		if brokered(err) {
			line, err := c.openLine(ctx, conn, r, postgresSpeech, 0, true)
			if err != nil {
				return "", err
			}
			unlisten = line.close
			env = c.childEnv(r, line.postgresEnv())
			return "none: a gateway has it, at " + line.gateway, nil
		}
		if err != nil {
			return "", err
		}
		env = c.childEnv(r, add)
		return add["PGUSER"], nil
	})
	rep.step("sign in to the target", false, func() (string, error) {
		if own {
			return "not tried: only you know the password of your own account; Stint read the membership back", nil
		}
		return tryCredential(ctx, env)
	})
	if opened {
		rep.step("give it back", true, func() (string, error) {
			_, err := conn.End(context.WithoutCancel(ctx), r.ID)
			if errors.Is(err, api.Conflict) {
				return "it had ended already", nil
			}
			return "", err
		})
		rep.step("read back as gone", true, func() (_ string, err error) {
			if r, err = c.await(ctx, conn, r, untilEnded, 0); err != nil {
				return "", err
			}
			if r.Grant == nil || r.Grant.VerifiedGoneAt.IsZero() {
				return "", errors.New("its absence was not read back")
			}
			return "lag " + r.Grant.VerifiedGoneAt.Sub(r.Grant.EndedAt.Time).String(), nil
		})
		if env != nil {
			rep.step("sign in to the target fails now", true, func() (string, error) {
				if who, err := tryCredential(ctx, env); err == nil {
					return "", errors.New("the credential still works, as " + who)
				}
				return "", nil
			})
		}
		rep.step("a review is open", true, func() (string, error) {
			for v, err := range api.Each(func(cursor string) (api.Page[api.Review], error) {
				return conn.Reviews(ctx, api.ReviewList{List: api.List{Cursor: cursor}, State: "open", Resource: q.Resource})
			}) {
				if err != nil {
					return "", err
				}
				if v.Request == r.ID {
					rep.Review = v.ID
					return v.ID + ", due " + clock(v.DueAt.Time, c.now()), nil
				}
			}
			return "", errors.New("there is none for " + r.ID)
		})
	}
	return c.showDrill(rep)
}

func (c *cli) showDrill(rep *drillReport) error {
	t := newTable("STEP", "RESULT", "TOOK", "DETAIL")
	t.marks["RESULT"] = markState
	for _, s := range rep.Steps {
		word := "ok"
		if !s.OK {
			word = "failed"
		}
		t.row(s.Name, word, (time.Duration(s.TookMS) * time.Millisecond).String(), s.Detail)
	}
	if err := c.show(result{value: rep, names: []string{rep.Request}, table: t}); err != nil {
		return err
	}
	if rep.OK {
		c.hint("another person closes it: stint review " + printable(rep.Review) + " --finding drill --note …")
		return nil
	}
	for _, s := range rep.Steps {
		if !s.OK {
			c.fault(bracketed("the drill failed at: "+s.Name, "drill-failed"), s.Detail, "mend it before it is needed")
		}
	}
	return ended{exitFailure}
}

// tryCredential signs in to a PostgreSQL target and says as whom. The password is in the
// environment alone.
func tryCredential(ctx context.Context, env []string) (string, error) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		return "", errors.New("psql was not found, so the credential was not tried; install it (Debian: apt install postgresql-client)")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, psql, "-X", "-A", "-t", "-w", "-c", "SELECT current_user")
	var out, said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &said
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(said.String())
		if text == "" {
			text = err.Error()
		}
		return "", errors.New(text)
	}
	return strings.TrimSpace(out.String()), nil
}

// faultText is an error in one line.
func faultText(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		text := e.Message
		if e.Why != "" {
			text += ": " + e.Why
		}
		return bracketed(text, e.Code)
	}
	return err.Error()
}
