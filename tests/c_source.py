"""How the C of src/ is written, for the checks that read it."""
import re

COMMENT = re.compile(r"/\*.*?\*/", re.S)
# As .clang-format has it: the type on a line of its own, then the name, and braces in the first column. SHOW(name, ...) of
# admin/show.h begins one, too. Its groups: what is before the name, the name, the body.
FUNCTION = re.compile(r"^([a-z_][^\n;{}]*\n|SHOW\()([a-z_]\w*)[(,][^;{}]*\)\n\{\n(.*?)^\}", re.S | re.M)
