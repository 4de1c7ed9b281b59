// Go: database/sql with lib/pq. A query with parameters is an unnamed Parse, Describe, Sync, then Bind, Execute, Sync.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
)

func fails(code string, err error) {
	var said *pq.Error
	if !errors.As(err, &said) || string(said.Code) != code {
		panic(fmt.Sprintf("wanted %s, found %v", code, err))
	}
}

func open(more string) *sql.DB {
	db, err := sql.Open("postgres", more)
	must(err)
	return db
}

// What both a pool and one of its connections can do.
type asker interface {
	QueryRowContext(ctx context.Context, query string, values ...interface{}) *sql.Row
	ExecContext(ctx context.Context, query string, values ...interface{}) (sql.Result, error)
}

var ctx = context.Background()

func value(db asker, query string, values ...interface{}) (found interface{}) {
	must(db.QueryRowContext(ctx, query, values...).Scan(&found))
	if bytes, ok := found.([]byte); ok {
		return string(bytes)
	}
	return found
}

func exec(db asker, queries ...string) {
	for _, query := range queries {
		_, err := db.ExecContext(ctx, query)
		must(err)
	}
}

func pinned(db *sql.DB, work func(one *sql.Conn)) {
	one, err := db.Conn(ctx)
	must(err)
	defer one.Close()
	work(one)
}

func init() {
	row("pool_of_many_goroutines", func(number int) {
		db := open("")
		defer db.Close()
		db.SetMaxOpenConns(10)
		var all sync.WaitGroup
		failures := make(chan interface{}, 100)
		for i := 0; i < 100; i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				defer func() {
					if trouble := recover(); trouble != nil {
						failures <- trouble
					}
				}()
				same(i+number, value(db, "SELECT $1::int + $2::int", i, number))
			}(i)
		}
		all.Wait()
		close(failures)
		for trouble := range failures {
			panic(trouble)
		}
	})
	row("prepared_statement_over_the_pool", func(number int) {
		db := open("")
		defer db.Close()
		statement, err := db.Prepare(fmt.Sprintf("SELECT $1::int * %d", number))
		must(err)
		for i := 0; i < 40; i++ {
			var found int
			must(statement.QueryRow(i).Scan(&found))
			same(i*number, found)
		}
		must(statement.Close())
	})
	row("binary_parameters", func(number int) {
		db := open("binary_parameters=yes")
		defer db.Close()
		for i := 0; i < 20; i++ {
			same(i, value(db, "SELECT $1::int", i))
		}
	})
	row("startup_settings", func(number int) {
		settings := "search_path=tenant_%d statement_timeout=7000 application_name=shop timezone=Asia/Tokyo"
		db := open(fmt.Sprintf(settings, number))
		defer db.Close()
		for i := 0; i < 20; i++ {
			same(fmt.Sprintf("tenant_%d", number), value(db, "SELECT name FROM place"))
			same("7s", value(db, "SHOW statement_timeout"))
			same("Asia/Tokyo", value(db, "SHOW timezone"))
		}
	})
	row("settings_of_one_connection", func(number int) {
		db := open("")
		defer db.Close()
		pinned(db, func(one *sql.Conn) {
			exec(one, fmt.Sprintf("SET search_path TO tenant_%d", number), "SET ROLE clerk", "RESET ROLE")
			value(one, "SELECT set_config('app.user_id', $1, false)", fmt.Sprint(number))
			for i := 0; i < 20; i++ {
				same(fmt.Sprintf("tenant_%d", number), value(one, "SELECT name FROM place"))
				same(number, value(one, "SELECT count(*) FROM public.document"))
			}
		})
	})
	row("transactions_and_savepoints", func(number int) {
		db, table := open(""), fmt.Sprintf("go_tx_%d", number)
		defer db.Close()
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int PRIMARY KEY)")
		for i := 0; i < 10; i++ {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			must(err)
			_, err = tx.Exec("INSERT INTO "+table+" VALUES ($1)", i)
			must(err)
			exec(tx, "SAVEPOINT one")
			_, err = tx.Exec("INSERT INTO "+table+" VALUES ($1)", i)
			fails("23505", err)
			exec(tx, "ROLLBACK TO SAVEPOINT one")
			if i%2 == 0 {
				must(tx.Commit())
			} else {
				must(tx.Rollback())
			}
		}
		same(5, value(db, "SELECT count(*) FROM "+table))
		exec(db, "DROP TABLE "+table)
	})
	row("listener", func(number int) {
		db, channel := open(""), fmt.Sprintf("go_%d", number)
		defer db.Close()
		listener := pq.NewListener("", time.Second, time.Second, nil)
		defer listener.Close()
		must(listener.Listen(channel))
		for i := 0; i < 3; i++ {
			_, err := db.Exec("SELECT pg_notify($1, $2)", channel, fmt.Sprint("hello ", i))
			must(err)
			select {
			case got := <-listener.Notify:
				same(fmt.Sprint(channel, " hello ", i), got.Channel+" "+got.Extra)
			case <-time.After(10 * time.Second):
				panic("no notification")
			}
		}
		must(listener.Ping())
		must(listener.Unlisten(channel))
	})
	row("advisory_lock_of_golang_migrate", func(number int) {
		db := open("")
		defer db.Close()
		pinned(db, func(one *sql.Conn) {
			exec(one, fmt.Sprintf("SELECT pg_advisory_lock(%d)", 500+number))
			for i := 0; i < 10; i++ {
				same(false, value(db, "SELECT pg_try_advisory_lock($1)", 500+number))
				value(one, "SELECT 1")
			}
			same(true, value(one, "SELECT pg_advisory_unlock($1)", 500+number))
		})
	})
	row("temporary_table", func(number int) {
		db := open("")
		defer db.Close()
		pinned(db, func(one *sql.Conn) {
			exec(one, "CREATE TEMP TABLE basket (n int)")
			for i := 0; i < 15; i++ {
				_, err := one.ExecContext(ctx, "INSERT INTO basket VALUES ($1)", i)
				must(err)
			}
			same(105, value(one, "SELECT sum(n) FROM basket"))
		})
	})
	row("copy_in", func(number int) {
		db, table := open(""), fmt.Sprintf("go_copy_%d", number)
		defer db.Close()
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int, v text)")
		tx, err := db.Begin()
		must(err)
		statement, err := tx.Prepare(pq.CopyIn(table, "id", "v"))
		must(err)
		for i := 0; i < 2000; i++ {
			_, err = statement.Exec(i, fmt.Sprint("row ", i))
			must(err)
		}
		_, err = statement.Exec()
		must(err)
		must(statement.Close())
		must(tx.Commit())
		same(2000, value(db, "SELECT count(*) FROM "+table))
		exec(db, "DROP TABLE "+table)
	})
	row("table_altered_between_uses", func(number int) {
		db, table := open(""), fmt.Sprintf("go_ddl_%d", number)
		defer db.Close()
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (a int)", "INSERT INTO "+table+" VALUES (1)")
		for _, columns := range []int{1, 2, 3} {
			for i := 0; i < 8; i++ {
				found, err := db.Query("SELECT * FROM "+table+" WHERE a = $1", 1)
				must(err)
				names, err := found.Columns()
				must(err)
				same(columns, len(names))
				must(found.Close())
			}
			exec(db, fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d int", table, columns))
		}
		exec(db, "DROP TABLE "+table)
	})
	row("errors_then_going_on", func(number int) {
		db := open("")
		defer db.Close()
		db.SetMaxOpenConns(1)
		for i := 0; i < 15; i++ {
			_, err := db.Exec("SELECT 1 / $1::int", 0)
			fails("22012", err)
			_, err = db.Prepare("SELECT * FROM go_nowhere WHERE a = $1")
			fails("42P01", err)
			same(i, value(db, "SELECT $1::int", i))
		}
	})
	row("context_cancels", func(number int) {
		db := open("")
		defer db.Close()
		for i := 0; i < 3; i++ {
			short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			_, err := db.ExecContext(short, "SELECT pg_sleep(20)")
			stop()
			if err == nil {
				panic("not cancelled")
			}
			same(i, value(db, "SELECT $1::int", i))
		}
	})
	row("sql_prepare", func(number int) {
		db := open("")
		defer db.Close()
		pinned(db, func(one *sql.Conn) {
			exec(one, fmt.Sprintf("PREPARE triple (int) AS SELECT $1 * %d", number))
			for i := 0; i < 15; i++ {
				same(i*number, value(one, fmt.Sprintf("EXECUTE triple (%d)", i)))
			}
			exec(one, "DEALLOCATE triple")
		})
	})
	row("console", func(number int) {
		db := open("user=admin dbname=pgweir")
		defer db.Close()
		must(db.Ping())
		for i := 0; i < 10; i++ {
			var list string
			var items int
			must(db.QueryRowContext(ctx, "SHOW LISTS").Scan(&list, &items))
			same("databases", list)
			exec(db, "SET application_name = 'exporter'")
			var known interface{}
			fails("0A000", db.QueryRowContext(ctx, "SHOW LISTS LIKE $1", "databases").Scan(&known))
		}
	})
}
