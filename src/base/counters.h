/*
 * src/base/counters.h - the counters, as plain structs. A worker's counters are written only by the thread of the
 * worker's loop; the metrics thread gets copies.
 *
 * Always: a field only grows, unless its comment says "gauge". The structs have no pointers, so memcpy() makes a
 *         complete copy.
 */
#pragma once

#include "base/histogram.h"
#include "modules/modules.h"

/* The lists below consist of X(enum value, the value's name in metrics and in SHOW). */
#define AS_ENUM(value, name) value,
/* clang-format off */
/* RF_CANCELED and all later failures are the client's doing, and do not count against a service-level objective. */
#define REQUEST_FAILURES(X) \
	X(RF_POOL_TIMEOUT, "pool_timeout") X(RF_BACKEND_UNREACHABLE, "backend_unreachable") \
	X(RF_BACKEND_LOST, "backend_lost") X(RF_LIMIT, "limit") X(RF_SHUTDOWN, "shutdown") \
	X(RF_KILLED, "killed") X(RF_PROTOCOL, "protocol") X(RF_INTERNAL, "internal") X(RF_CANCELED, "canceled") \
	X(RF_CLIENT_GONE, "client_gone") X(RF_UNSUPPORTED, "unsupported")
/* Results of a client's wait for a server. WAIT_GIVEN_UP: the client cancelled its request, or was disconnected. */
#define WAIT_OUTCOMES(X) \
	X(WAIT_SERVED, "served") X(WAIT_TIMEOUT, "timeout") X(WAIT_REFUSED, "refused") X(WAIT_GIVEN_UP, "given_up")
/* Reasons for which the pool closes a connection to a server. */
#define RECYCLE_REASONS(X) \
	X(RR_AGE, "age") X(RR_IDLE, "idle") X(RR_OVERFLOW, "overflow") X(RR_RELOAD, "reload") \
	X(RR_FAILED_PING, "failed_ping") X(RR_DIRTY, "dirty") X(RR_ERROR, "error") X(RR_SHUTDOWN, "shutdown") \
	X(RR_KILL, "kill") X(RR_EVICTED, "evicted") X(RR_UNKNOWN_CODE, "unknown_code")
/* Reasons for which a client keeps its server between transactions (docs/sessions.md). PIN_STATEMENT: a statement made
 * by SQL's PREPARE. PIN_LONG_STATEMENT: a statement made by a Parse, but too long for pgweir to store. */
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
	X(PHASE_CLIENT, "client_write") X(PHASE_PROXY, "proxy")
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
/* Kinds of statements that the setting `refuse` can name. */
#define FORBIDDEN_STATEMENTS(X) \
	X(FORBIDDEN_UPDATE, "update_without_where") X(FORBIDDEN_DELETE, "delete_without_where") X(FORBIDDEN_DDL, "ddl") \
	X(FORBIDDEN_MULTI, "multi_statement")
#define CANCEL_RESULTS(X) \
	X(CR_SENT, "sent") X(CR_NO_QUERY, "no_query") X(CR_WRONG_KEY, "wrong_key") X(CR_FAILED, "failed") \
	X(CR_PASSED_ON, "passed_on")
/* Causes of a statement's early end, for SHOW SLOW. CANCELED_BY_SERVER: PostgreSQL itself, or a user who called
 * pg_cancel_backend(). */
#define CANCELERS(X) \
	X(CANCELED_BY_CLIENT, "client") X(CANCELED_BY_QUERY_TIMEOUT, "query_timeout") X(CANCELED_BY_SERVER, "server") \
	X(CANCELED_BY_STATEMENT_TIMEOUT, "statement_timeout") X(CANCELED_BY_LOCK_TIMEOUT, "lock_timeout")
#define TRANSFER_KINDS(X) \
	X(TRANSFER_CLIENT, "client") X(TRANSFER_RETURNED_SERVER, "returned_server") \
	X(TRANSFER_IDLE_SERVER, "idle_server")
#define PIPELINE_RESULTS(X) X(PL_FIRST, "first") X(PL_SECOND, "second") X(PL_AGAIN, "again")
/* Results of looking up a user by auth_query. Hit: the cache had the user. Miss: PostgreSQL was asked and knows the
 * user. Unknown: PostgreSQL was asked and has no password for the user. Failed: PostgreSQL could not be asked. Stale,
 * counted in addition to Failed: an expired answer was used instead. */
#define AUTH_QUERY_RESULTS(X) \
	X(AQ_HIT, "hit") X(AQ_MISS, "miss") X(AQ_UNKNOWN, "unknown") X(AQ_STALE, "stale") X(AQ_FAILED, "failed")
/* clang-format on */

enum request_failure { REQUEST_FAILURES(AS_ENUM) RF_COUNT, RF_CLIENT_FIRST = RF_CANCELED };
enum wait_outcome { WAIT_OUTCOMES(AS_ENUM) WAIT_COUNT };
enum query_kind { QUERY_KINDS(AS_ENUM) QK_COUNT };
enum transaction_end { TRANSACTION_ENDS(AS_ENUM) TE_COUNT };
/* Phases of a request, by the party for which the request waits (docs/slow-log.md). In PHASE_WAIT, the request waits
 * for the other clients, which have all of the pool's servers. */
enum phase { PHASES(AS_ENUM) PHASE_COUNT };
enum error_origin { EO_SERVER, EO_PROXY, EO_COUNT };
enum checkout_source { CHECKOUT_SOURCES(AS_ENUM) CS_COUNT };
enum recycle_reason { RECYCLE_REASONS(AS_ENUM) RR_COUNT };
enum pin_reason { PIN_REASONS(AS_ENUM) PIN_COUNT };
enum login_result { LOGIN_RESULTS(AS_ENUM) LR_COUNT };
enum tls_side { TLS_SIDE_CLIENT, TLS_SIDE_SERVER, TLS_SIDES };
enum tls_result { TLS_HANDSHAKES(AS_ENUM) TLS_RESULTS };
enum commit_result { COMMIT_RESULTS(AS_ENUM) CC_COUNT }; /* CC_X is FATE_X - FATE_COMMITTED (session/commit_fate.h) */
enum login_method {
	LOGIN_METHODS(AS_ENUM) LM_MODULES /* the first method of auth_modules[] */,
	LM_COUNT = LM_MODULES + AUTH_MODULE_COUNT
};
enum reject_reason { REJECT_REASONS(AS_ENUM) RJ_COUNT };
enum connect_failure { CONNECT_FAILURES(AS_ENUM) CF_COUNT };
/* The route of a client's read: ROUTE_STANDBY, or the reason for which the primary got the read (docs/admin.md, SHOW
 * READS). ROUTE_OFF: reads are not sent to standbys. */
enum read_route { ROUTE_OFF, READ_ROUTES(AS_ENUM) ROUTE_COUNT };
/* FORBIDDEN_SIZE: the statement is too long to be checked. */
enum forbidden { FORBIDDEN_NOTHING, FORBIDDEN_STATEMENTS(AS_ENUM) FORBIDDEN_SIZE, FORBIDDEN_COUNT };
/* Results of a request that was sent to a server while the server still worked for another client. PL_FIRST: this
 * server answered the request. PL_SECOND: another server answered it. PL_AGAIN: this server was lost or taken away, so
 * the request is sent again. */
enum pipeline_result { PIPELINE_RESULTS(AS_ENUM) PL_COUNT };
enum read_target { READ_TARGETS(AS_ENUM) RT_COUNT };
enum cancel_result { CANCEL_RESULTS(AS_ENUM) CR_COUNT };
enum canceler { CANCELED_BY_NOBODY, CANCELERS(AS_ENUM) CANCELED_COUNT };
/* Objects that one worker transfers to another: a client after its login, a server that a client has just returned, or
 * an idle server. */
enum transfer_kind { TRANSFER_KINDS(AS_ENUM) TRANSFER_COUNT };
enum auth_query_result { AUTH_QUERY_RESULTS(AS_ENUM) AQ_COUNT };
enum net_side { NS_CLIENT, NS_SERVER, NS_COUNT };

/* The names of the SQLSTATE classes that are counted, followed by "none" and "other". */
#define ERROR_CLASSES_MAX 48
extern const char *const error_classes[ERROR_CLASSES_MAX]; /* ends with NULL */
/* Returns the index in error_classes of a SQLSTATE's class. The class is "none" if sqlstate is NULL or has fewer than
 * two characters. */
unsigned counters_error_class(const char *sqlstate);
/* Adds each number at `from` to the number at the same position in `to`. Each has len bytes of uint64_t. */
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
extern const char *const forbidden_names[FORBIDDEN_COUNT - 1]; /* element i is the name of value i + 1 */
extern const char *const cancel_result_names[CR_COUNT];
extern const char *const canceler_names[CANCELED_COUNT]; /* the first is NULL */
extern const char *const transfer_names[TRANSFER_COUNT];
extern const char *const commit_result_names[CC_COUNT];
extern const char *const auth_query_result_names[AQ_COUNT];
extern const char *const net_side_names[NS_COUNT];

/* Counters of a (database, user) pair. */
struct pool_counters {
	uint64_t waits; /* requests that had to wait for a server */
	uint64_t pool_timeouts;
	uint64_t outages; /* outages that have begun; in an outage, the pool has no server and cannot open one */
	uint64_t outage_us; /* duration of the outages that have ended */
	uint64_t held; /* requests that waited when an outage began, or that came in an outage with on_outage = hold */
	uint64_t pipelined[PL_COUNT]; /* requests that were sent to a server that still worked for another client */
	uint64_t replays; /* requests that were sent again, to another server */
	uint64_t checkouts[CS_COUNT]; /* loans of servers to clients */
	uint64_t recycles[RR_COUNT]; /* servers that were closed */
	uint64_t pings_ok, pings_failed;
	uint64_t pins[PIN_COUNT]; /* how often each reason to keep a server arose */
	uint64_t resets_ok, resets_failed;
	uint64_t seals; /* servers from which session state was removed between two clients (seal/seal.h) */
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
	/* messages about named statements: server_parses went to servers, the others came from clients */
	uint64_t client_parses, server_parses, binds;
	uint64_t probes; /* queries about session state that were sent to servers */
	uint64_t statement_hits, statement_misses, statement_evictions; /* of prepared statements on servers */
	uint64_t statement_reruns; /* requests that were run again because a table had changed */
	uint64_t plans_kept; /* uses of a plan that PostgreSQL keeps (statements/keep.h) */
	uint64_t plans_given_up; /* statements whose plan is no longer kept, because the plan was slow */
	/* statements refused by the setting `refuse`, in the order of forbidden_names */
	uint64_t statements_forbidden[FORBIDDEN_COUNT - 1];
	/* COMMITs whose result pgweir looked up, because the server was lost before it answered */
	uint64_t commits_checked[CC_COUNT];
	uint64_t reads[RT_COUNT]; /* loans of servers for reads that might go to a standby */
	uint64_t client_logins;
	struct histogram pool_wait[WAIT_COUNT], query_duration, transaction_duration, server_response, ping_duration;
};

/* Adds all elements of c->pool_wait to `to`. */
void counters_add_waits(struct histogram *to, const struct database_counters *c);

/* Counters of a host and port that pgweir connects to. */
struct backend_counters {
	uint64_t connects, connect_failures[CF_COUNT];
	uint64_t standby_loans; /* loans of a standby to the clients of its primary's pool */
	uint64_t last_failure_wall_us; /* gauge; 0 if no attempt has failed */
	/* gauge: 1 if the host answered the last attempt, even by a refusal; 0 if not; -1 before the first attempt */
	int up_state;
	uint64_t up_state_set_us; /* when up_state was last set to 0 or 1; merged snapshots keep the newer up_state */
	struct histogram connect_duration;
};

/* Counters of the whole process. Each worker has its own struct; a snapshot has the sums. */
struct process_counters {
	uint64_t client_connections, rejected[RJ_COUNT];
	uint64_t logins[LR_COUNT][LM_COUNT];
	uint64_t tls_handshakes[TLS_SIDES][TLS_RESULTS];
	struct histogram tls_handshake_duration; /* handshakes of clients */
	/* gauge: when the first of the certificates for clients expires, since 1970; 0 if there is no certificate */
	uint64_t tls_not_after_us;
	uint64_t cancels[CR_COUNT];
	uint64_t transfers[TRANSFER_COUNT]; /* counted by the worker that the object leaves */
	uint64_t auth_queries[AQ_COUNT];
	uint64_t reloads_ok, reloads_failed;
	uint64_t console_commands;
	uint64_t restarts; /* restarts without a gap, of this process and of its predecessors */
	uint64_t restarts_failed; /* restarts of this process that failed */
	uint64_t clients_taken_over; /* clients that this process took over from its predecessor */
	uint64_t loop_iterations;
	uint64_t loop_busy_us, dns_lookups_ok, dns_lookups_failed; /* filled in only in snapshots; elsewhere 0 */
	struct histogram login_duration, loop_lag, proxy_overhead;
	struct histogram transfer_duration; /* transfers of servers, counted by the worker that gets the server */
	struct histogram halt_duration; /* halts of all other workers by worker 0, failed ones included */
};
