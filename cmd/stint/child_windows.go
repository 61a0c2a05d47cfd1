package main

import "os"

// passedSignals: the console tells every process of its group by itself.
func passedSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// endSignals are those that interrupt us.
func endSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// reloadSignals: there are none here.
var reloadSignals map[string]os.Signal

// fromKeyboard holds for signals that a console sends to the child, too.
func fromKeyboard(s os.Signal) bool { return s == os.Interrupt }

// signalCode: processes do not end by signals here.
func signalCode(*os.ProcessState) (int, bool) { return 0, false }
