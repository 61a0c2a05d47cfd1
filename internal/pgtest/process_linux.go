package pgtest

import "syscall"

// dieWithParent has the kernel shut the server down when the process that started
// it is gone, however it went. SIGQUIT is PostgreSQL's immediate shutdown.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
