// Dex serves a real dex (https://dexidp.io), built as a library, for the end-to-end
// tests and for trying things out: it reads a file in dex's own format, keeps all in
// memory, and knows the users and clients of the file. Its own program does not build
// as a dependency. It is no part of Stint.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	gosundheit "github.com/AppsFlyer/go-sundheit"
	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/dexidp/dex/web"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
)

// config is the part of dex's configuration that is served here.
type config struct {
	Issuer  string `yaml:"issuer"`
	Storage struct {
		Type string `yaml:"type"`
	} `yaml:"storage"`
	Web struct {
		HTTP string `yaml:"http"`
	} `yaml:"web"`
	OAuth2 struct {
		SkipApprovalScreen bool `yaml:"skipApprovalScreen"`
	} `yaml:"oauth2"`
	EnablePasswordDB bool `yaml:"enablePasswordDB"`
	StaticClients    []struct {
		ID           string   `yaml:"id"`
		Name         string   `yaml:"name"`
		Secret       string   `yaml:"secret"`
		RedirectURIs []string `yaml:"redirectURIs"`
	} `yaml:"staticClients"`
	StaticPasswords []struct {
		Email             string   `yaml:"email"`
		Hash              string   `yaml:"hash"`
		Username          string   `yaml:"username"`
		PreferredUsername string   `yaml:"preferredUsername"`
		UserID            string   `yaml:"userID"`
		Groups            []string `yaml:"groups"`
	} `yaml:"staticPasswords"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 || os.Args[1] != "serve" {
		return errors.New("usage: dex serve CONFIG")
	}
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		return err
	}
	var c config
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return err
	}
	if c.Storage.Type != "memory" || !c.EnablePasswordDB {
		return errors.New("only storage of type memory and the password database are built in")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	st := memory.New(log)
	for _, p := range c.StaticPasswords {
		if err := st.CreatePassword(ctx, storage.Password{Email: p.Email, Hash: []byte(p.Hash), Username: p.Username,
			PreferredUsername: p.PreferredUsername, UserID: p.UserID, Groups: p.Groups}); err != nil {
			return err
		}
	}
	for _, cl := range c.StaticClients {
		if err := st.CreateClient(ctx, storage.Client{ID: cl.ID, Name: cl.Name, Secret: cl.Secret, RedirectURIs: cl.RedirectURIs}); err != nil {
			return err
		}
	}
	if err := st.CreateConnector(ctx, storage.Connector{ID: "local", Name: "Email", Type: "local"}); err != nil {
		return err
	}
	keys, err := (&signer.LocalConfig{KeysRotationPeriod: "6h"}).Open(ctx, st, 24*time.Hour, time.Now, log)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(ctx, server.Config{Issuer: c.Issuer, Storage: st, SkipApprovalScreen: c.OAuth2.SkipApprovalScreen, Logger: log, Signer: keys,
		PrometheusRegistry: prometheus.NewRegistry(), HealthChecker: gosundheit.New(), Web: server.WebConfig{WebFS: web.FS()},
		SupportedResponseTypes: []string{"code"}, AllowedGrantTypes: []string{"authorization_code", "refresh_token"}})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Web.HTTP)
	if err != nil {
		return err
	}
	log.Info("serving", "issuer", c.Issuer)
	h := &http.Server{Handler: srv, ReadHeaderTimeout: 10 * time.Second}
	go func() { <-ctx.Done(); _ = h.Close() }()
	if err := h.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
