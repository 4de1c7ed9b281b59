/* src/weir_moving.h - shared by weir_moving.c and weir_successor.c. */
#ifndef PGWEIR_WEIR_MOVING_H
#define PGWEIR_WEIR_MOVING_H

#include "weir_state.h"

#include "client/passport.h"
#include "net/link.h"

#define CROSSINGS 32 /* at a time */
#define READY_MAX 64 /* of those; what is beyond them moves next time */

enum stage {
	STAGE_STARTING,
	STAGE_MOVING, /* it accepts clients, and takes over ours */
	STAGE_LOST /* its link is broken; whether it lives is not known yet */
};

/* A client on its way. */
struct crossing {
	uint64_t number; /* 0: free */
	struct client *client; /* NULL: it was closed meanwhile */
	int fd; /* its socket */
	uint64_t since_us;
	bool is_taken; /* the successor has it, and waits to hear that we have let go */
	bool is_released; /* that was sent */
};

struct successor {
	struct weir *w;
	struct link *link;
	pid_t pid;
	enum stage stage;
	uint64_t since_us;
	struct passport_office *office;
	struct event *pump;
	struct client *cursor; /* where the round goes on; NULL: at its end */
	struct client *ready[READY_MAX]; /* they have given their server back in this turn */
	unsigned ready_count;
	struct crossing crossings[CROSSINGS];
	uint64_t last_number;
	uint32_t moved;
	bool is_told; /* who stays */
	uint64_t all_from_us, listeners_from_us; /* nobody, and no client that listens, is sent before this time */
};

void moving_send_pool(void *arg, const struct buf *pool);
void moving_send_text(void *arg, const struct buf *text);
bool moving_has_crossings(const struct successor *s);
void moving_pump(evutil_socket_t fd, short what, void *arg);
void moving_pump_again(struct successor *s, suseconds_t us);
void moving_take_back(struct successor *s, bool is_dead);
void moving_on_message(struct successor *s, uint8_t type, const uint8_t *body, size_t len);
void moving_let_go_of_released(struct successor *s);
void moving_call_back_late(struct successor *s);

#endif
