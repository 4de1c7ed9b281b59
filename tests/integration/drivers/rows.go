// Rows of Go's drivers: each is run by CLIENTS clients at once (two).
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
)

var rows = map[string]func(int){}

func row(name string, work func(number int)) { rows[name] = work }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(wanted, found interface{}) {
	if fmt.Sprint(wanted) != fmt.Sprint(found) {
		panic(fmt.Sprintf("wanted %v, found %v", wanted, found))
	}
}

// One client's run of a row: nil, or what went wrong.
func try(work func(int), number int) (trouble interface{}) {
	defer func() { trouble = recover() }()
	work(number)
	return nil
}

func main() {
	names, status := os.Args[1:], 0
	if len(names) == 0 {
		for name := range rows {
			names = append(names, name)
		}
		sort.Strings(names)
	}
	for _, name := range names {
		count, err := strconv.Atoi(os.Getenv("CLIENTS"))
		if err != nil {
			count = 2
		}
		ends := make(chan interface{})
		for number := 1; number <= count; number++ {
			go func(number int) { ends <- try(rows[name], number) }(number)
		}
		var troubles []interface{}
		for i := 0; i < count; i++ {
			if trouble := <-ends; trouble != nil {
				troubles = append(troubles, trouble)
			}
		}
		if troubles != nil {
			fmt.Printf("not ok %s: %v\n", name, troubles)
			status = 1
		} else {
			fmt.Println("ok", name)
		}
	}
	os.Exit(status)
}
