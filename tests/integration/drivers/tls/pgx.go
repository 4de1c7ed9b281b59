// What test_tls_drivers.py asks of each driver: see there.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
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
	ctx := context.Background()

	db, err := pgx.Connect(ctx, "")
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
	err = db.QueryRow(ctx, "SELECT 42").Scan(&number)
	must("query", number == 42, err)
	fmt.Println("ok query")
	for i := 0; i < 20; i++ {
		err = db.QueryRow(ctx, "SELECT $1::int * 2", i).Scan(&number)
		must("prepared", number == 2*i, err)
	}
	fmt.Println("ok prepared")
	err = db.QueryRow(ctx, "SELECT repeat('x', 8000000)").Scan(&text)
	must("large", len(text) == 8000000, err)
	rows, err := db.Query(ctx, "SELECT repeat('y', 300) FROM generate_series(1, 20000) i")
	must("large", true, err)
	count := 0
	for rows.Next() {
		count++
	}
	must("large", count == 20000, rows.Err())
	fmt.Println("ok large")
	time.AfterFunc(300*time.Millisecond, func() { db.PgConn().CancelRequest(ctx) })
	_, err = db.Exec(ctx, "SELECT pg_sleep(30)")
	said, is_error := err.(*pgconn.PgError)
	must("cancel", is_error && said.Code == "57014", nil)
	fmt.Println("ok cancel")
	db.Close(ctx)
}
