// What test_tls_drivers.py asks of each driver: see there.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"
)

func must(step string, is_so bool, err error) {
	if err != nil || !is_so {
		fmt.Printf("not ok %s: %v\n", step, err)
		os.Exit(1)
	}
}

func main() {
	var number int
	var text string

	db, err := sql.Open("postgres", "")
	must("open", true, err)
	if err := db.Ping(); err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
	err = db.QueryRow("SELECT 42").Scan(&number)
	must("query", number == 42, err)
	fmt.Println("ok query")
	statement, err := db.Prepare("SELECT $1::int * 2")
	must("prepared", true, err)
	for i := 0; i < 20; i++ {
		err = statement.QueryRow(i).Scan(&number)
		must("prepared", number == 2*i, err)
	}
	fmt.Println("ok prepared")
	err = db.QueryRow("SELECT repeat('x', 8000000)").Scan(&text)
	must("large", len(text) == 8000000, err)
	rows, err := db.Query("SELECT repeat('y', 300) FROM generate_series(1, 20000) i")
	must("large", true, err)
	count := 0
	for rows.Next() {
		count++
	}
	must("large", count == 20000, rows.Err())
	fmt.Println("ok large")
	soon, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	var said *pq.Error
	_, err = db.ExecContext(soon, "SELECT pg_sleep(30)")
	must("cancel", errors.As(err, &said) && said.Code == "57014" || errors.Is(err, context.DeadlineExceeded), nil)
	fmt.Println("ok cancel")
	db.Close()
}
