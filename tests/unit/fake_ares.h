/*
 * tests/unit/fake_ares.h - in place of c-ares, whose functions of these names are not linked then: a list of what was
 * asked, which calls back when the test answers it. How a lookup begins, and what it finds, is the test's own.
 */
#pragma once

#include <ares.h>
#include <stdbool.h>
#include <sys/queue.h>

#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))

/* A lookup that does not end at once. */
struct asked {
	ares_channel channel;
	ares_addrinfo_callback cb;
	void *arg;
	int status;
	bool is_answered;
	TAILQ_ENTRY(asked) link;
};

extern TAILQ_HEAD(asked_list, asked) fake_ares_asked;
extern int fake_ares_made, fake_ares_channels; /* how many channels there were, and there are */

void fake_ares_ask(ares_channel channel, ares_addrinfo_callback cb, void *arg); /* for ares_getaddrinfo() */
/* Answers the first lookup that is not answered yet: it calls back from the loop. Returns false if there is none. */
bool fake_ares_answer(int status);
/* Returns what a name means now; for ares_freeaddrinfo(). The test defines it, and these two of c-ares's. */
struct ares_addrinfo *fake_ares_found(void);
