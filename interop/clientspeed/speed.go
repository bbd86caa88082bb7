// Go's client: servers get|set window bytes warm-up operations. Prints ops/s and CPU µs per op.
// It has no operations without waiting, so a window is as many goroutines.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
)

type quiet struct{}

func (quiet) Printf(string, ...interface{}) {}

func main() {
	number := func(at int) int {
		n, err := strconv.Atoi(os.Args[at])
		if err != nil {
			log.Fatal(err)
		}
		return n
	}
	isGet, window, data := os.Args[2] == "get", number(3), make([]byte, number(4))
	client, _, err := zk.Connect([]string{os.Args[1]}, 30*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Create("/speed", data, 0, zk.WorldACL(zk.PermAll)); err == zk.ErrNodeExists {
		_, err = client.Set("/speed", data, -1)
		if err != nil {
			log.Fatal(err)
		}
	}
	run(client, isGet, window, data, number(5))
	count := number(6)
	cpu, start := cpuTime(), time.Now()
	run(client, isGet, window, data, count)
	seconds := time.Since(start).Seconds()
	micros := (cpuTime() - cpu).Seconds() * 1e6 / float64(count)
	fmt.Printf("%.0f %.2f\n", float64(count)/seconds, micros)
}

func run(client *zk.Conn, isGet bool, window int, data []byte, count int) {
	var all sync.WaitGroup
	for w := 0; w < window; w++ {
		all.Add(1)
		go func(count int) {
			defer all.Done()
			for i := 0; i < count; i++ {
				var err error
				if isGet {
					_, _, err = client.Get("/speed")
				} else {
					_, err = client.Set("/speed", data, -1)
				}
				if err != nil {
					log.Fatal(err)
				}
			}
		}(count / window)
	}
	all.Wait()
}

func cpuTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		log.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
