// Pause is process 1 of a pod, of a node and of the machine room: it does nothing until SIGTERM, and buries the
// processes whose parents have gone. Its arguments only say, in a list of processes, whose process 1 it is.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	bury()
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		bury()
	}
}

// Several deaths may be told by one signal.
func bury() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != syscall.EINTR && (err != nil || pid <= 0) {
			return
		}
	}
}
