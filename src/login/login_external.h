/* src/login/login_external.h - a client's login by tokens, such as Kerberos tickets, which a module judges
 * (auth/auth_module.h). The functions are in login_external.c. */
#pragma once

#include "login/login_steps.h"

/* Returns true if the client must send a token next. */
bool login_is_token_due(const struct client *c);
/* Takes a message with a token. Returns the number of bytes used, or 0 if the message is not complete. */
size_t login_take_token(struct client *c, const uint8_t *bytes, size_t len);
