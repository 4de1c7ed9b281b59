#include "modules/modules.h"
#include "auth/auth_module.h"
#include "config/module.h"
#include "http/http_module.h"
#include "load/file_format.h"

#include <stddef.h>

#define DECLARE(name, ...) extern const struct auth_module auth_module_##name;
#define REFER_TO(name, ...) &auth_module_##name,
#define DECLARE_MODULE(name) extern const struct module module_##name;
#define REFER_TO_MODULE(name) &module_##name,
#define DECLARE_PAGES(name, ...) extern const struct http_page http_module_##name[];
#define REFER_TO_PAGES(name, ...) http_module_##name,
#define DECLARE_FORMAT(name) extern const struct file_format file_format_##name;
#define REFER_TO_FORMAT(name) &file_format_##name,

AUTH_MODULES(DECLARE)
MODULES(DECLARE_MODULE)
HTTP_MODULES(DECLARE_PAGES)
FILE_FORMATS(DECLARE_FORMAT)

const struct auth_module *const auth_modules[AUTH_MODULE_COUNT + 1] = { AUTH_MODULES(REFER_TO) NULL };
const struct module *const modules[MODULE_COUNT + 1] = { MODULES(REFER_TO_MODULE) NULL };
const struct http_page *const http_module_pages[] = { HTTP_MODULES(REFER_TO_PAGES) NULL };
const struct file_format *const file_formats[] = { FILE_FORMATS(REFER_TO_FORMAT) NULL };
