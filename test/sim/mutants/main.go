// Mutants plants one bug at a time in the product and has simulations find it: an
// oracle that lets a known bug pass is no oracle.
//
// Each mutant of list.go re-creates an incident that other products had, or takes
// one mitigation away. It is an edit of the source by which the simulation is
// built, never of the tree. Runs of one mutant end with the first red seed, and
// the number of seeds that it took is its score. The program fails when a mutant
// is not caught within the budget, does not compile, or has gone stale.
package main

func main() {}
