/* src/login/login_external.h - passes a client's tokens to the module that judges them (login_external.c). */
#pragma once

#include "login/login_steps.h"

/* Returns true if the login waits for a token from the client: the client's next bytes belong to the token. */
bool login_wants_token(const struct client *c);
/* Takes one message; returns the bytes used, or 0 if more are needed. */
size_t login_token(struct client *c, const uint8_t *bytes, size_t len);
