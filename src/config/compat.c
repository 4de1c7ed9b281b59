#include "config/compat.h"
#include "config/config_state.h"

void
compat_reword(const struct config *config, const struct fail *why, struct fail *told)
{
	const struct problem_words *words = config_words(config);

	*told = *why;
	if (compat_does(config, COMPAT_USES_THEIR_WORDS))
		fail_in_pgbouncer_words(why, told);
	if (words != NULL) {
		words->reword(told->detail, sizeof(told->detail));
		words->reword(told->hint, sizeof(told->hint));
	}
}
