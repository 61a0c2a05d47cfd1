package keys

// secret gives key bytes. It is a function because fmt prints what it finds by
// reflection, behind pointers and in unexported fields too, where no Format method
// is asked; of a function it prints the address.
type secret func() []byte

func hide(b []byte) secret { return func() []byte { return b } }
