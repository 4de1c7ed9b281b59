#include "net/inbox.h"

static void
read_wake(struct note *n, void *owner, bool is_over)
{
	struct wake *w = (struct wake *)n;

	atomic_store(&w->is_posted, false);
	if (!is_over)
		w->woken(w->arg);
}

void
wake_init(struct wake *w, struct inbox *to, void (*woken)(void *arg), void *arg)
{
	w->note.read = read_wake;
	w->to = to;
	w->woken = woken;
	w->arg = arg;
}

void
wake_post(void *wake)
{
	struct wake *w = wake;

	if (!atomic_exchange(&w->is_posted, true))
		inbox_post(w->to, &w->note);
}
