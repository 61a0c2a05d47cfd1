//go:build !cgo

package main

import "stint/internal/hsm/wire"

const builtWith = "built without PKCS#11: there was no C compiler"

func open(_, _ string, _ []byte) (token, error) {
	return nil, wire.Fail(wire.NotBuilt, "this stint-hsm was built without PKCS#11: build it where there is a C compiler, with CGO_ENABLED=1")
}
