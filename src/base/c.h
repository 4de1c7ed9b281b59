/*
 * src/base/c.h - the headers of the C library that are taken for granted, as PostgreSQL's c.h: the build includes it
 * ahead of every file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
