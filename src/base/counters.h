/*
 * src/base/counters.h - the counters, as plain structs. The loop's thread is the only writer; the metrics thread gets
 * copies.
 *
 * Always: a field only grows, unless it is marked "gauge"; these structs have no pointers, so memcpy() copies all of
 *         them.
 */
#pragma once

#include "base/histogram.h"
#include "modules/modules.h"

/* Lists of X(value, its name in metrics and SHOW). */
#define AS_ENUM(value, name) value,
/* clang-format off */
/* From RF_CANCELED on, the client itself caused the failure, so the failure does not count against a service-level
 * objective. */
#define REQUEST_FAILURES(X) \
	X(RF_POOL_TIMEOUT, "pool_timeout") X(RF_BACKEND_UNREACHABLE, "backend_unreachable") \
	X(RF_BACKEND_LOST, "backend_lost") X(RF_LIMIT, "limit") X(RF_SHUTDOWN, "shutdown") \
	X(RF_KILLED, "killed") X(RF_PROTOCOL, "protocol") X(RF_INTERNAL, "internal") X(RF_CANCELED, "canceled") \
	X(RF_CLIENT_GONE, "client_gone") X(RF_UNSUPPORTED, "unsupported")
/* WAIT_GIVEN_UP: the client gave up, or was disconnected. */
#define WAIT_OUTCOMES(X) \
	X(WAIT_SERVED, "served") X(WAIT_TIMEOUT, "timeout") X(WAIT_REFUSED, "refused") X(WAIT_GIVEN_UP, "given_up")
#define RECYCLE_REASONS(X) \
	X(RR_AGE, "age") X(RR_IDLE, "idle") X(RR_OVERFLOW, "overflow") X(RR_RELOAD, "reload") \
	X(RR_FAILED_PING, "failed_ping") X(RR_DIRTY, "dirty") X(RR_ERROR, "error") X(RR_SHUTDOWN, "shutdown") \
	X(RR_KILL, "kill") X(RR_EVICTED, "evicted") X(RR_UNKNOWN_CODE, "unknown_code")
/* PIN_STATEMENT: a statement that SQL PREPARE made; PIN_LONG_STATEMENT: a statement of the protocol that was not
 * stored. */
#define PIN_REASONS(X) \
	X(PIN_SESSION_SET, "session_set") X(PIN_TEMP_TABLE, "temp_table") X(PIN_LISTEN, "listen") \
	X(PIN_ADVISORY_LOCK, "advisory_lock") X(PIN_CURSOR, "cursor") X(PIN_STATEMENT, "statement") \
	X(PIN_LONG_STATEMENT, "long_statement") X(PIN_EXTENSION, "extension") X(PIN_ASKED_FOR, "asked_for")
#define LOGIN_RESULTS(X) \
	X(LR_OK, "ok") X(LR_BAD_PASSWORD, "bad_password") X(LR_NO_SUCH_USER, "no_such_user") \
	X(LR_NO_SUCH_DATABASE, "no_such_database") X(LR_TLS_REQUIRED, "tls_required") X(LR_TIMEOUT, "timeout") \
	X(LR_ERROR, "error")
#define REJECT_REASONS(X) \
	X(RJ_MAX_CLIENT_CONNECTIONS, "max_client_connections") X(RJ_MAX_DATABASE, "max_database") \
	X(RJ_MAX_USER, "max_user") X(RJ_HBA, "hba") X(RJ_SHUTDOWN, "shutdown") \
	X(RJ_LOGIN_TIMEOUT, "login_timeout") X(RJ_DESCRIPTORS, "descriptors") X(RJ_MAX_ADDRESS, "max_address") \
	X(RJ_DATABASE_RATE, "database_login_rate") X(RJ_USER_RATE, "user_login_rate") \
	X(RJ_ADDRESS_RATE, "address_login_rate") X(RJ_LOGGING_IN, "logging_in") \
	X(RJ_FAILED_LOGINS, "failed_logins") X(RJ_MAX_MEMORY, "max_memory")
#define QUERY_KINDS(X) X(QK_SIMPLE, "simple") X(QK_EXTENDED, "extended") X(QK_COPY, "copy")
#define TRANSACTION_ENDS(X) X(TE_COMMIT, "commit") X(TE_ROLLBACK, "rollback") X(TE_LOST, "lost")
#define PHASES(X) \
	X(PHASE_WAIT, "wait") X(PHASE_CONNECT, "connect") X(PHASE_SERVER, "server") X(PHASE_STREAM, "stream") \
	X(PHASE_CLIENT_WRITE, "client_write") X(PHASE_PROXY, "proxy")
#define CHECKOUT_SOURCES(X) X(CS_IDLE, "idle") X(CS_NEW, "new") X(CS_OVERFLOW, "overflow")
#define COMMIT_RESULTS(X) X(CC_COMMITTED, "committed") X(CC_ROLLED_BACK, "rolled_back") X(CC_UNKNOWN, "unknown")
#define TLS_HANDSHAKES(X) X(TLS_RESULT_OK, "ok") X(TLS_RESULT_RESUMED, "resumed") X(TLS_RESULT_FAILED, "failed")
#define LOGIN_METHODS(X) \
	X(LM_TRUST, "trust") X(LM_MD5, "md5") X(LM_SCRAM, "scram") X(LM_CERT, "cert") X(LM_PASSWORD, "password") \
	X(LM_PEER, "peer") X(LM_NONE, "none")
#define CONNECT_FAILURES(X) \
	X(CF_DNS, "dns") X(CF_REFUSED, "refused") X(CF_TIMEOUT, "timeout") X(CF_TLS, "tls") X(CF_AUTH, "auth") \
	X(CF_TOO_MANY, "too_many_connections") X(CF_OTHER, "other")
#define READ_ROUTES(X) \
	X(ROUTE_STANDBY, "standby") X(ROUTE_UNMARKED, "not_marked") X(ROUTE_TIED, "tied") \
	X(ROUTE_PRIMARY_ONLY, "primary_only") X(ROUTE_BEHIND, "behind") X(ROUTE_NO_STANDBY, "no_standby") \
	X(ROUTE_CONNECTING, "connecting") X(ROUTE_BUSY, "busy") X(ROUTE_REFUSED, "refused")
#define READ_TARGETS(X) X(RT_PRIMARY, "primary") X(RT_STANDBY, "standby")
/* The words of the setting `refuse`. FORBIDDEN_SIZE: a statement that is too long to be judged. */
#define FORBIDDEN_STATEMENTS(X) \
	X(FORBIDDEN_UPDATE, "update_without_where") X(FORBIDDEN_DELETE, "delete_without_where") X(FORBIDDEN_DDL, "ddl") \
	X(FORBIDDEN_MULTI, "multi_statement")
#define CANCEL_RESULTS(X) \
	X(CR_SENT, "sent") X(CR_NO_QUERY, "no_query") X(CR_WRONG_KEY, "wrong_key") X(CR_FAILED, "failed") \
	X(CR_PASSED_ON, "passed_on")
/* The cause of a statement's early end, for SHOW SLOW. CANCELED_BY_SERVER: PostgreSQL, or a user there. */
#define CANCELERS(X) \
	X(CANCELED_BY_CLIENT, "client") X(CANCELED_BY_QUERY_TIMEOUT, "query_timeout") X(CANCELED_BY_SERVER, "server") \
	X(CANCELED_BY_STATEMENT_TIMEOUT, "statement_timeout") X(CANCELED_BY_LOCK_TIMEOUT, "lock_timeout")
#define TRANSFER_KINDS(X) \
	X(TRANSFER_CLIENT, "client") X(TRANSFER_RETURNED_SERVER, "returned_server") \
	X(TRANSFER_IDLE_SERVER, "idle_server")
#define PIPELINE_RESULTS(X) X(PL_FIRST, "first") X(PL_SECOND, "second") X(PL_AGAIN, "again")
#define AUTH_QUERY_RESULTS(X) \
	X(AQ_HIT, "hit") X(AQ_MISS, "miss") X(AQ_UNKNOWN, "unknown") X(AQ_STALE, "stale") X(AQ_FAILED, "failed")
/* clang-format on */

enum request_failure { REQUEST_FAILURES(AS_ENUM) RF_COUNT, RF_OF_CLIENTS = RF_CANCELED };
enum wait_outcome { WAIT_OUTCOMES(AS_ENUM) WAIT_COUNT };
enum query_kind { QUERY_KINDS(AS_ENUM) QK_COUNT };
enum transaction_end { TRANSACTION_ENDS(AS_ENUM) TE_COUNT };
/* Phases of a request, by the party that owes the next byte (docs/slow-log.md). In PHASE_WAIT that is a client that
 * keeps one of the pool's servers. */
enum phase { PHASES(AS_ENUM) PHASE_COUNT };
enum error_origin { EO_SERVER, EO_PROXY, EO_COUNT };
enum checkout_source { CHECKOUT_SOURCES(AS_ENUM) CS_COUNT };
enum recycle_reason { RECYCLE_REASONS(AS_ENUM) RR_COUNT };
enum pin_reason { PIN_REASONS(AS_ENUM) PIN_COUNT };
enum login_result { LOGIN_RESULTS(AS_ENUM) LR_COUNT };
enum tls_side { TLS_SIDE_CLIENT, TLS_SIDE_SERVER, TLS_SIDES };
enum tls_result { TLS_HANDSHAKES(AS_ENUM) TLS_RESULTS };
enum commit_result { COMMIT_RESULTS(AS_ENUM) CC_COUNT }; /* the values of enum commit_fate */
enum login_method {
	LOGIN_METHODS(AS_ENUM) LM_MODULES /* methods of auth_modules[] */,
	LM_COUNT = LM_MODULES + AUTH_MODULE_COUNT
};
enum reject_reason { REJECT_REASONS(AS_ENUM) RJ_COUNT };
enum connect_failure { CONNECT_FAILURES(AS_ENUM) CF_COUNT };
/* The route of a client's read: to a standby, or to the primary for some reason (docs/admin.md, SHOW READS). */
enum read_route { ROUTE_OFF, READ_ROUTES(AS_ENUM) ROUTE_COUNT };
enum forbidden { FORBIDDEN_NOTHING, FORBIDDEN_STATEMENTS(AS_ENUM) FORBIDDEN_SIZE, FORBIDDEN_COUNT };
/* Results of a request that was sent to a server while that server still worked for another client. PL_FIRST: that
 * server answered the request; PL_SECOND: another server answered it; PL_AGAIN: the request is sent again. */
enum pipeline_result { PIPELINE_RESULTS(AS_ENUM) PL_COUNT };
enum read_target { READ_TARGETS(AS_ENUM) RT_COUNT };
enum cancel_result { CANCEL_RESULTS(AS_ENUM) CR_COUNT };
enum canceler { CANCELED_BY_NOBODY, CANCELERS(AS_ENUM) CANCELED_COUNT };
/* Objects that one worker transfers to another: a client after its login, or a server, just returned or idle. */
enum transfer_kind { TRANSFER_KINDS(AS_ENUM) TRANSFER_COUNT };
enum auth_query_result { AUTH_QUERY_RESULTS(AS_ENUM) AQ_COUNT };
enum net_side { NS_CLIENT, NS_SERVER, NS_COUNT };

/* The SQLSTATE classes that are counted, and then "none" and "other". */
#define ERROR_CLASSES_MAX 48
extern const char *const error_classes[ERROR_CLASSES_MAX]; /* ends with NULL */
/* Returns the index of a SQLSTATE's class. sqlstate may be NULL or shorter than two characters: the class is then
 * "none". */
unsigned counters_error_class(const char *sqlstate);
/* Adds the numbers at `from` to those at `to`: both have len bytes, and consist of uint64_t only. */
void counters_add(void *to, const void *from, size_t len);

/* The names of enum values in metrics and SHOW, in the order of the enums. */
extern const char *const request_failure_names[RF_COUNT];
extern const char *const query_kind_names[QK_COUNT];
extern const char *const transaction_end_names[TE_COUNT];
extern const char *const phase_names[PHASE_COUNT];
extern const char *const error_origin_names[EO_COUNT];
extern const char *const checkout_source_names[CS_COUNT];
extern const char *const recycle_reason_names[RR_COUNT];
extern const char *const pin_reason_names[PIN_COUNT];
extern const char *const login_result_names[LR_COUNT];
extern const char *const tls_side_names[TLS_SIDES];
extern const char *const wait_outcome_names[WAIT_COUNT];
extern const char *const tls_result_names[TLS_RESULTS];
extern const char *const login_method_names[LM_COUNT];
extern const char *const reject_reason_names[RJ_COUNT];
extern const char *const connect_failure_names[CF_COUNT];
extern const char *const pipeline_result_names[PL_COUNT];
extern const char *const read_target_names[RT_COUNT];
#define FORBIDDEN_BIT(what) (1u << ((unsigned)(what)-1)) /* the bit of a kind of statement in the setting `refuse` */
extern const char *const forbidden_names[FORBIDDEN_COUNT - 1]; /* begins with the value after FORBIDDEN_NOTHING */
extern const char *const cancel_result_names[CR_COUNT];
extern const char *const canceler_names[CANCELED_COUNT]; /* the first is NULL */
extern const char *const transfer_names[TRANSFER_COUNT];
extern const char *const commit_result_names[CC_COUNT];
extern const char *const auth_query_result_names[AQ_COUNT];
extern const char *const net_side_names[NS_COUNT];

/* Counters of a (database, user). */
struct pool_counters {
	uint64_t waits; /* requests that had to wait */
	uint64_t pool_timeouts;
	/* outages that have ended: times in which the pool had no server and could open none */
	uint64_t outages, outage_us;
	uint64_t held; /* requests that have waited during an outage */
	uint64_t pipelined[PL_COUNT]; /* requests that were sent to a server before its previous client was done */
	uint64_t replays; /* requests that were relayed again to another server */
	uint64_t checkouts[CS_COUNT];
	uint64_t recycles[RR_COUNT];
	uint64_t pings_ok, pings_failed;
	uint64_t pins[PIN_COUNT];
	uint64_t resets_ok, resets_failed;
	uint64_t seals; /* servers that were washed between two loans */
	uint64_t client_logins;
	uint64_t notifications; /* delivered to listening clients */
};

/* Counters of a database. */
struct database_counters {
	uint64_t requests, queries[QK_COUNT], transactions[TE_COUNT], slow_queries;
	uint64_t requests_failed[RF_COUNT];
	uint64_t canceled[CANCELED_COUNT]; /* canceled requests; the first element is unused */
	uint64_t errors[EO_COUNT][ERROR_CLASSES_MAX];
	uint64_t bytes_in[NS_COUNT], bytes_out[NS_COUNT]; /* in and out of pgweir */
	uint64_t phase_us[PHASE_COUNT];
	uint64_t transaction_idle_us;
	uint64_t server_assignments;
	/* messages for named statements, counted as by PgBouncer: clients' Parses, Parses to servers, clients' Binds */
	uint64_t client_parses, server_parses, binds;
	uint64_t probes; /* queries about session state sent to servers */
	uint64_t statement_hits, statement_misses, statement_evictions, statement_reruns;
	/* see statements/keep.h: uses of a kept plan; statements given up because their plans were slow */
	uint64_t plans_kept, plans_given_up;
	/* statements refused by the setting refuse, in the order of forbidden_names */
	uint64_t statements_forbidden[FORBIDDEN_COUNT - 1];
	/* COMMITs that were checked because their server was lost before it answered */
	uint64_t commits_checked[CC_COUNT];
	uint64_t reads[RT_COUNT]; /* loans of servers for reads that might go to a standby */
	uint64_t client_logins;
	struct histogram pool_wait[WAIT_COUNT], query_duration, transaction_duration, server_response, ping_duration;
};

void counters_add_waits(struct histogram *to, const struct database_counters *c); /* adds waits of all outcomes */

/* Counters of a host:port that we connect to. */
struct backend_counters {
	uint64_t connects, connect_failures[CF_COUNT];
	uint64_t standby_loans; /* loans of a standby to the clients of its primary's pool */
	uint64_t last_failure_wall_us; /* gauge; 0 if no attempt has failed */
	int is_up; /* gauge: 1 after a success, 0 after a failure, -1 before the first attempt */
	uint64_t heard_us; /* when is_up was set; a merge of several workers' counters keeps the newer is_up */
	struct histogram connect_duration;
};

/* Counters of the whole process. */
struct process_counters {
	uint64_t client_connections, rejected[RJ_COUNT];
	uint64_t logins[LR_COUNT][LM_COUNT];
	uint64_t tls_handshakes[TLS_SIDES][TLS_RESULTS];
	struct histogram tls_handshake_duration; /* handshakes of clients */
	uint64_t tls_not_after_us; /* gauge; when our first certificate expires, since 1970; 0 if none */
	uint64_t cancels[CR_COUNT];
	uint64_t transfers[TRANSFER_COUNT]; /* counted by the worker that the object leaves */
	uint64_t auth_queries[AQ_COUNT];
	uint64_t reloads_ok, reloads_failed;
	uint64_t console_commands;
	/* restarts in which the clients moved to a new process, counted since the first of these processes */
	uint64_t restarts;
	uint64_t restarts_failed, clients_moved; /* in this process: failed restarts; clients taken over */
	uint64_t loop_iterations;
	uint64_t loop_busy_us, dns_lookups_ok, dns_lookups_failed; /* counted elsewhere, and filled in for a snapshot */
	struct histogram login_duration, loop_lag, proxy_overhead;
	struct histogram transfer_duration; /* transfers of servers, counted by the worker that gets them */
	/* measured by worker 0: how long it halted all other workers, or tried to */
	struct histogram halt_duration;
};
