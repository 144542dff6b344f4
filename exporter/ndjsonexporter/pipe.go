package ndjsonexporter

import (
	"os"
	"os/signal"
	"syscall"
)

// surviveBrokenPipe makes writing to a standard output that nobody reads an
// error. Without it the Go runtime ends the process at once, and what was learned
// would not be saved.
func surviveBrokenPipe() (undo func()) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	return func() { signal.Stop(ignored) }
}
