// Go: pgx, which prepares each statement under a name of its own and keeps a cache, with its pool.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx = context.Background()

func fails(code string, err error) {
	var said *pgconn.PgError
	if !errors.As(err, &said) || said.Code != code {
		panic(fmt.Sprintf("wanted %s, found %v", code, err))
	}
}

func connect(more string) *pgx.Conn {
	db, err := pgx.Connect(ctx, more)
	must(err)
	return db
}

func value(db *pgx.Conn, query string, values ...interface{}) (found interface{}) {
	must(db.QueryRow(ctx, query, values...).Scan(&found))
	return found
}

func exec(db *pgx.Conn, queries ...string) {
	for _, query := range queries {
		_, err := db.Exec(ctx, query)
		must(err)
	}
}

func init() {
	row("statement_cache", func(number int) {
		db := connect("")
		defer db.Close(ctx)
		for i := 0; i < 40; i++ {
			same(i+number, value(db, "SELECT $1::int + $2::int", i, number))
			same(i%3, value(db, fmt.Sprintf("SELECT %d", i%3)))
		}
	})
	row("small_statement_cache_deallocates", func(number int) {
		db := connect("statement_cache_capacity=2")
		defer db.Close(ctx)
		for i := 0; i < 40; i++ {
			same(i+i%7, value(db, fmt.Sprintf("SELECT $1::int + %d", i%7), i))
		}
	})
	row("describe_cache_uses_the_unnamed_statement", func(number int) {
		db := connect("statement_cache_mode=describe")
		defer db.Close(ctx)
		for i := 0; i < 30; i++ {
			same(i*number, value(db, "SELECT $1::int * $2::int", i, number))
		}
	})
	row("prepared_by_name_and_deallocated", func(number int) {
		db := connect("")
		defer db.Close(ctx)
		for i := 0; i < 15; i++ {
			_, err := db.Prepare(ctx, "mine", fmt.Sprintf("SELECT $1::int * %d + %d", number, i))
			must(err)
			same(2*number+i, value(db, "mine", 2))
			must(db.Deallocate(ctx, "mine"))
		}
	})
	row("name_free_after_a_failed_parse", func(number int) {
		db := connect("")
		defer db.Close(ctx)
		for i := 0; i < 5; i++ {
			_, err := db.Prepare(ctx, "later", "SELECT * FROM pgx_nowhere")
			fails("42P01", err)
		}
		_, err := db.Prepare(ctx, "later", "SELECT 7")
		must(err)
		same(7, value(db, "later"))
	})
	row("pool_with_an_after_connect_hook", func(number int) {
		config, err := pgxpool.ParseConfig("pool_max_conns=8")
		must(err)
		config.AfterConnect = func(_ context.Context, one *pgx.Conn) error {
			_, err := one.Exec(ctx, fmt.Sprintf("SET search_path TO tenant_%d", number))
			return err
		}
		pool, err := pgxpool.ConnectConfig(ctx, config)
		must(err)
		defer pool.Close()
		found := make(chan string, 60)
		for i := 0; i < 60; i++ {
			go func() {
				var name string
				if err := pool.QueryRow(ctx, "SELECT name FROM place").Scan(&name); err != nil {
					name = err.Error()
				}
				found <- name
			}()
		}
		for i := 0; i < 60; i++ {
			same(fmt.Sprintf("tenant_%d", number), <-found)
		}
	})
	row("batches", func(number int) {
		db := connect("")
		defer db.Close(ctx)
		for turn := 0; turn < 5; turn++ {
			batch := &pgx.Batch{}
			for i := 0; i < 20; i++ {
				batch.Queue(fmt.Sprintf("SELECT $1::int + %d", i%4), i)
			}
			results := db.SendBatch(ctx, batch)
			for i := 0; i < 20; i++ {
				var found int
				must(results.QueryRow().Scan(&found))
				same(i+i%4, found)
			}
			must(results.Close())
		}
	})
	row("pins_nothing", func(number int) {
		for _, mode := range []string{"", "statement_cache_mode=describe", "statement_cache_capacity=0"} {
			db := connect(mode)
			for turn := 0; turn < 6; turn++ {
				batch := &pgx.Batch{}
				for i := 0; i < 4; i++ {
					batch.Queue("INSERT INTO audited (owner, v) VALUES ($1, $2)", number, fmt.Sprint("pgx ", i))
					batch.Queue(fmt.Sprintf("INSERT INTO audited (owner, v) VALUES ($1, 'pgx %d') RETURNING v", i), number)
				}
				batch.Queue("SELECT count(*)::int FROM audited WHERE owner = $1 AND v LIKE 'pgx %'", number)
				batch.Queue("DELETE FROM audited WHERE owner = $1 AND v LIKE 'pgx %'", number)
				results := db.SendBatch(ctx, batch)
				for i := 0; i < 4; i++ {
					var v string
					_, err := results.Exec()
					must(err)
					must(results.QueryRow().Scan(&v))
					same(fmt.Sprint("pgx ", i), v)
				}
				var count int
				must(results.QueryRow().Scan(&count))
				same(8, count)
				must(results.Close())
			}
			must(db.Close(ctx))
		}
	})
	row("copy_from", func(number int) {
		db, table := connect(""), fmt.Sprintf("pgx_copy_%d", number)
		defer db.Close(ctx)
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int, v text)")
		count, err := db.CopyFrom(ctx, pgx.Identifier{table}, []string{"id", "v"},
			pgx.CopyFromSlice(2000, func(i int) ([]interface{}, error) { return []interface{}{i, fmt.Sprint("row ", i)}, nil }))
		must(err)
		same(2000, count)
		exec(db, "DROP TABLE "+table)
	})
	row("wait_for_notification", func(number int) {
		db, other, channel := connect(""), connect(""), fmt.Sprintf("pgx_%d", number)
		defer db.Close(ctx)
		defer other.Close(ctx)
		exec(db, "LISTEN "+channel)
		for i := 0; i < 3; i++ {
			_, err := other.Exec(ctx, "SELECT pg_notify($1, $2)", channel, fmt.Sprint("hello ", i))
			must(err)
			short, stop := context.WithTimeout(ctx, 10*time.Second)
			got, err := db.WaitForNotification(short)
			stop()
			must(err)
			same(fmt.Sprint(channel, " hello ", i), got.Channel+" "+got.Payload)
		}
	})
	row("table_altered_between_uses", func(number int) {
		db, table := connect(""), fmt.Sprintf("pgx_ddl_%d", number)
		defer db.Close(ctx)
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (a int)", "INSERT INTO "+table+" VALUES (1)")
		for i := 0; i < 8; i++ {
			same(1, value(db, "SELECT * FROM "+table))
		}
		exec(db, "ALTER TABLE "+table+" ADD COLUMN b int DEFAULT 2")
		for i := 0; i < 8; i++ {
			fresh := connect("")
			var a, b int
			must(fresh.QueryRow(ctx, "SELECT * FROM "+table).Scan(&a, &b))
			same("1 2", fmt.Sprint(a, " ", b))
			must(fresh.Close(ctx))
		}
		exec(db, "DROP TABLE "+table)
	})
	row("settings_and_lock_of_a_session", func(number int) {
		db, other := connect("application_name=shop timezone=Asia/Tokyo"), connect("")
		defer db.Close(ctx)
		defer other.Close(ctx)
		exec(db, fmt.Sprintf("SET app.user_id = '%d'", number))
		exec(db, fmt.Sprintf("SELECT pg_advisory_lock(%d)", 600+number))
		for i := 0; i < 15; i++ {
			same(number, value(db, "SELECT count(*) FROM document"))
			same("Asia/Tokyo", value(db, "SELECT current_setting('timezone')"))
			same(false, value(other, "SELECT pg_try_advisory_lock($1)", 600+number))
		}
		same(true, value(db, "SELECT pg_advisory_unlock($1)", 600+number))
	})
	row("nested_transactions", func(number int) {
		db, table := connect(""), fmt.Sprintf("pgx_tx_%d", number)
		defer db.Close(ctx)
		exec(db, "DROP TABLE IF EXISTS "+table, "CREATE TABLE "+table+" (id int PRIMARY KEY)")
		for i := 0; i < 10; i++ {
			must(db.BeginFunc(ctx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", i)
				must(err)
				fails("23505", tx.BeginFunc(ctx, func(inner pgx.Tx) error {
					_, err := inner.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", i)
					return err
				}))
				return nil
			}))
		}
		same(10, value(db, "SELECT count(*) FROM "+table))
		exec(db, "DROP TABLE "+table)
	})
	row("console", func(number int) {
		config, err := pgx.ParseConfig("user=admin dbname=pgweir")
		must(err)
		config.PreferSimpleProtocol = true
		db, err := pgx.ConnectConfig(ctx, config)
		must(err)
		defer db.Close(ctx)
		extended := connect("user=admin dbname=pgweir")
		defer extended.Close(ctx)
		for i := 0; i < 10; i++ {
			var list string
			var items int
			must(db.QueryRow(ctx, "SHOW LISTS").Scan(&list, &items))
			same("databases", list)
			fails("0A000", extended.QueryRow(ctx, "SHOW LISTS").Scan(&list, &items))
			_, err := extended.Exec(ctx, "SET application_name = 'x'", pgx.QuerySimpleProtocol(true))
			must(err)
		}
	})
}
