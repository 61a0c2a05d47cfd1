// Package views is the pages of the console, one template each, with the data that it
// takes declared beside it: texts and times, chosen and allowed by who calls. A page is
// what stands below its heading; ui.Shell puts the frame around it.
package views
