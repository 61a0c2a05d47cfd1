package provision

import (
	"stint/internal/access"
	"stint/internal/policy"
)

// Type is the type of an integration that provisions by SCIM.
const Type = "scim"

// The options of such an integration.
const (
	optionSignIn = "signIn"
	optionPrefix = "groupPrefix"
)

// Schema is what a document of such an integration may say.
func Schema() access.Schema {
	return access.Schema{Type: Type, Integration: map[string]access.Option{
		optionSignIn: {Doc: "the integration by which its users sign in, if externalId is the subject there",
			Pattern: `[a-z0-9][a-z0-9._-]{0,62}`, Form: "write the name of an integration"},
		optionPrefix: {Doc: "what the names of its groups begin with in Stint",
			Pattern: `[a-z0-9][a-z0-9._-]{0,30}`, Form: "write 1 to 31 of a-z, 0-9, '.', '_' and '-'"},
	}}
}

// For is the directory of an integration.
func For(i policy.Integration, store Store, ender Ender) Directory {
	return Directory{Store: store, Ender: ender, Provider: i.Name, SignIn: i.Options[optionSignIn], Prefix: i.Options[optionPrefix]}
}
