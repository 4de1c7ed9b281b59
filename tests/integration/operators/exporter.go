// A scrape as prometheus-community's pgbouncer_exporter makes it: its statements, in its order, by its driver (database/sql and
// lib/pq), and values as database/sql hands them over for their types. Prints JSON: for each statement its columns and rows;
// a value is "string:text", "int64:7", "nil:" and so on.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"

	"github.com/lib/pq"
)

type answer struct {
	Columns []string
	Rows    [][]string
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tell(value interface{}) string {
	switch v := value.(type) {
	case nil:
		return "nil:"
	case []byte:
		return "bytes:" + string(v)
	default:
		return fmt.Sprintf("%T:%v", v, v)
	}
}

func ask(db *sql.DB, statement string) (found answer) {
	rows, err := db.Query(statement)
	must(err)
	defer rows.Close()
	found.Columns, err = rows.Columns()
	must(err)
	for rows.Next() {
		values, places := make([]interface{}, len(found.Columns)), make([]interface{}, len(found.Columns))
		for i := range values {
			places[i] = &values[i]
		}
		must(rows.Scan(places...))
		var row []string
		for _, value := range values {
			row = append(row, tell(value))
		}
		found.Rows = append(found.Rows, row)
	}
	must(rows.Err())
	return found
}

func main() {
	connector, err := pq.NewConnector(os.Args[1])
	must(err)
	db := sql.OpenDB(connector)
	ask(db, "SHOW STATS")
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	found := map[string]answer{}
	for _, statement := range []string{"SHOW VERSION;", "SHOW LISTS;", "SHOW CONFIG;", "SHOW CLIENTS;", "SHOW databases;", "SHOW stats_totals;",
		"SHOW pools;"} {
		found[statement] = ask(db, statement)
	}
	must(db.Close())
	must(json.NewEncoder(os.Stdout).Encode(found))
}
