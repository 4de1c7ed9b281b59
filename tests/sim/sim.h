/*
 * tests/sim/sim.h - deterministic simulation: pgweir whole, between applications and a model of PostgreSQL, in one
 * process, over a network in memory, at a time of its own. All that happens is drawn from a seed.
 *
 *   sim.c           what is printed
 *   runner.c        options, seeds
 *   sim_run.c       one seed: who does what next, what breaks, what must hold
 *   sim_faults.c    what breaks, and who may notice
 *   sim_program.c   what applications send
 *   sim_oracle.c    what they must get: exactly what the model answers to the same messages on a connection of its own
 *   sim_trace.c     what has happened
 *   kernel.c        sockets
 *   resolver.c      names of hosts
 *
 * The model and its clients are those of tests/fuzz/fuzz_session.c.
 */
#pragma once

#include "runner.h"
#include "session_world.h"

#define SIM_REPORT_LEN 128
#define SIM_NOTICES_MAX 4096
#define SIM_TIMED_OUT_MAX 64
#define SIM_CHANNELS 26 /* named cha to chz */

/* An application, and the session that it would have without pgweir. */
struct sim_client {
	struct sim *sim;
	struct fake_client *f;
	struct fake mirror;
	struct fake_conn *alone; /* its session; NULL until it has logged in */
	struct buf unfed; /* messages that its session has not got yet: one after the other, as answers come */
	size_t unfed_at;
	size_t expected_at; /* of alone->out: what it has got already */
	char told[REPORTS][SIM_REPORT_LEN], expected[REPORTS][SIM_REPORT_LEN]; /* of settings that are reported */
	uint32_t base, seen; /* of its tokens: the last one before it came, the last one that its session was sent */
	uint64_t listened; /* bits: channels it has ever listened on, as this client */
	unsigned noticed; /* of the run's notifications: those up to here have come, or are not for it */
	unsigned asked_at; /* how many there were when its last request began */
	unsigned listening[SIM_CHANNELS]; /* it gets those behind this one; 0: it does not listen */
	unsigned cancels; /* requests to cancel what it runs, that may still hit */
	bool has_cancelled; /* there was one */
	bool may_be_hit_again; /* what it had sent behind what was hit */
	bool is_mid_request; /* messages were sent that no Sync has ended */
	bool takes_value[8]; /* sim_program.c */
	bool is_in, is_copying; /* as far as it knows: in a transaction, in a COPY from it */
	bool may_fail; /* a transaction that may fail meanwhile was begun since all was answered */
	bool is_due; /* what its session was sent last has begun a transaction, for which it may have no server yet */
	bool is_prepared; /* ... and it has done no more there than to prepare statements */
	bool has_refused_end; /* it was refused what was to end that, which was so already if its server was lost */
	bool is_unserved; /* ... and that has failed, as its next statement got none */
	bool is_ending; /* it got a FATAL that it may get */
	bool is_excused; /* its server was broken, or it was refused for a reason: it may be lost */
	bool is_closed; /* pgweir has closed it, and it may not know yet */
	uint64_t asked_us; /* when it last sent a request with nothing unanswered */
	uint64_t came_us;
	uint64_t heard_us; /* when it had last read all that pgweir had sent */
	uint64_t stopped_us; /* it reads nothing for a while: since when; 0: it does */
};

/* What may happen in a run. In 256ths of all steps, unless it says otherwise. */
struct sim_profile {
	char options[400]; /* words of session_world.c */
	unsigned clients, workers;
	unsigned leaving, cancelling, losing, unnaming, jumping, reloading, pausing, stalling, reconnecting;
	unsigned pipeline; /* requests at once */
	bool has_hidden, has_timeouts, has_listen, has_roles, is_session;
	bool makes_code; /* clients make and drop functions that leave something */
	bool is_stormy; /* clients write and commit, and servers are lost often */
	bool is_sleepy; /* requests last, and are cancelled often */
	bool is_bulky; /* much is copied and sent, and fails on its way */
	bool is_sharing; /* most of what is sent may go ahead of its turn, and all use one pool */
	bool is_wide; /* answers have many rows, and servers are lost often */
	bool has_transfers; /* all use one pool, which has shards, and code whose plans are kept, under many settings */
	bool is_allowing; /* session_state = allow: sessions cross on purpose, so clients have none */
	bool is_asking; /* what pgweir asks for itself is answered late, and cancelled */
	bool is_code_late; /* ... that another program makes in the course of the run */
	uint64_t left_out[2]; /* bits: what clients never send in this run, so that the rest comes more often */
};

/* Of a transaction that has committed. */
struct sim_notice {
	char channel; /* 'a' to 'z' */
	char payload[24];
};

struct sim {
	struct world world;
	struct sim_client clients[TEXT_CLIENTS];
	struct sim_profile profile;
	uint64_t seed, random;
	uint64_t step;
	uint64_t lost_us, lost_step; /* when a server was last broken, or nobody could connect; 0: never */
	uint32_t timed_out[SIM_TIMED_OUT_MAX]; /* PIDs of servers that idle_session_timeout has ended last */
	unsigned timed_out_count;
	uint64_t refused_until_us; /* nobody can connect to PostgreSQL; 0: everybody can */
	uint64_t mute_us, mute_until_us; /* nobody answers who connects meanwhile; 0: everybody is answered */
	uint64_t nameless_until_us; /* names can't be looked up; 0: they can */
	uint64_t nameless_us; /* when that was last so; 0: never */
	bool is_misnamed; /* the name server answers with an error; else it is silent */
	uint64_t paused_us; /* since when pools are paused; 0: they are not */
	const struct worker *slow; /* its loop does not turn before slow_until_us; NULL: all turn */
	uint64_t slow_until_us;
	uint64_t hangs_until_us; /* the same, for so long that it is found silent; 0: none ever was */
	unsigned early_notes; /* quiet_turn() */
	unsigned made; /* enum state_part: of the code that was made last; 0: none was */
	uint64_t made_step;
	struct sim_notice notices[SIM_NOTICES_MAX];
	unsigned notice_count; /* from 1: notices[0] is none */
	bool is_over; /* no new requests */
	bool has_reloaded;
	unsigned requests, answers, cancels, departures, losses;
};

/* Of a server. One that has timed out says that it has begun nothing: only who has something there is lost with it. */
enum sim_fault {
	SIM_SOUND,
	SIM_TIMED_OUT,
	SIM_BROKEN,
};

/* sim.c */
#define sim_draw(s) draw_number(&(s)->random)
#define sim_chance(s, of_256) draw_chance(&(s)->random, of_256, 256)
#define sim_below(s, limit) draw_below(&(s)->random, limit)
uint64_t sim_now(void);

/* sim_trace.c */
void sim_trace_of(const struct sim *s); /* the simulation that all that follows is about */
void sim_trace_begin(bool is_loud);
/* who: a letter, or a server's number. what: static. */
void sim_trace(char kind, unsigned who, const char *what, uint64_t a, uint64_t b);
void sim_trace_text(char kind, unsigned who, const char *what, const void *text, size_t len);
uint64_t sim_trace_hash(void);
void sim_trace_dump(void); /* the last events, on stderr */

/* sim_run.c */
void sim_run(struct sim *s, uint64_t seed, uint64_t steps);
void sim_turn(struct sim *s); /* of all loops of pgweir's, one after the other */

struct server *sim_find_server(const struct sim *s, uint32_t pid); /* NULL: it is in no pool's list */

/* sim_faults.c */
void sim_lose_server(struct sim *s);
/* What c has got runs; if that is a COMMIT, PostgreSQL may crash before anybody hears of it. True: it has. */
bool sim_crash_at_commit(struct sim *s, struct fake_conn *c);
/* What c has got runs; if that makes code, the answer may come late, or never. */
void sim_see_code(struct sim *s);
bool sim_has_just_lost(const struct sim *s); /* a server; pgweir may not know yet */
enum sim_fault sim_worst_server(const struct sim *s); /* of those of which pgweir may not know yet */
/* After each turn: clients that have a broken server, and, if worst was there before, those who were closed in it. */
void sim_excuse_lost(struct sim *s, enum sim_fault worst);
void sim_excuse_borrowers(struct sim *s, uint32_t pid); /* of the server with this PID, if it has one */
void sim_weather(struct sim *s);
void sim_lose_names(struct sim *s); /* for a while nobody can look them up */

/* sim_program.c */
void sim_say_something(struct sim_client *c); /* a request, or part of one */
void sim_say_end(struct sim_client *c); /* whatever is open is brought to an end, as far as it can be now */
void sim_leave_out(struct sim *s); /* chooses what clients never send */
void sim_leave_out_sessions(struct sim *s); /* ... of what changes their sessions, or makes them keep a server */
void sim_allow_sessions(struct sim *s); /* ... of all that */
void sim_say(struct sim_client *c, uint8_t type, const void *body, size_t len);

/* sim_oracle.c */
void oracle_begin(struct sim_client *c); /* it has connected */
void oracle_end(struct sim_client *c); /* it has gone, or is to go */
void oracle_gone(struct sim_client *c); /* pgweir has closed it */
bool oracle_is_answered(struct sim_client *c); /* it has got all that it can get now */
void oracle_sent(struct sim_client *c, const void *bytes, size_t len); /* a whole message */
bool oracle_waits_for_query(struct sim_client *c); /* it is owed nothing but, perhaps, the answer to one plain Query */
void oracle_check_writes(struct sim_client *c); /* what it has committed is there, once, and nothing else */
void oracle_check_twice(const struct sim *s); /* nothing is there twice, whosever it is */
void oracle_message(void *arg, uint8_t type, const uint8_t *body, size_t len);
