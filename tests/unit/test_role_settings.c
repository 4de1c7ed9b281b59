/* tests/unit/test_role_settings.c - the versions of what sessions begin with, by role. Links seal/role_settings.c. */
#include "seal/role_settings.h"
#include "unit.h"

static struct role_settings all, other; /* of each test */

static void
end(void)
{
	role_settings_fini(&all);
	role_settings_fini(&other);
}

TestSuite(role_settings, .fini = end);

static void
add(struct role_settings *to, const char *role_hex, const char *version)
{
	cr_assert_eq(role_settings_add(to, role_hex, version), 0);
}

#define WEB "776562"
#define APP "617070"

Test(role_settings, are_those_of_a_role_and_of_all_roles)
{
	uint64_t none = role_settings_version(&all, "web"), web, of_all;

	cr_expect_neq(none, 0);
	cr_expect_eq(role_settings_version(&all, "app"), none, "nobody has any");
	add(&all, APP, "-5");
	add(&all, WEB, "7");
	role_settings_sort(&all);
	web = role_settings_version(&all, "web");
	cr_expect_neq(web, none);
	cr_expect_neq(role_settings_version(&all, "app"), web);
	cr_expect_eq(role_settings_version(&all, "we"), none, "another role");
	cr_expect_eq(role_settings_version(&all, "WEB"), none, "letters differ");
	add(&all, "", "7");
	of_all = role_settings_version(&all, "we");
	cr_expect_neq(of_all, none);
	cr_expect_neq(role_settings_version(&all, "web"), web);
}

Test(role_settings, another_roles_change_nothing)
{
	add(&all, WEB, "7");
	role_settings_sort(&all);
	add(&other, APP, "9");
	add(&other, "c3a9", "-9223372036854775808");
	add(&other, WEB, "7");
	role_settings_sort(&other);
	cr_expect_neq(role_settings_hash(&all), role_settings_hash(&other));
	cr_expect_eq(role_settings_version(&all, "web"), role_settings_version(&other, "web"));
	cr_expect_neq(role_settings_version(&all, "\xc3\xa9"), role_settings_version(&other, "\xc3\xa9"));
	add(&other, "", "0");
	cr_expect_eq(role_settings_version(&all, "web"), role_settings_version(&other, "web"), "none of all roles");
}

Test(role_settings, of_many_roles_are_bounded)
{
	char name[16], hex[2 * sizeof(name)];
	uint64_t none = role_settings_version(&all, "r0");

	for (unsigned i = 0; i <= ROLE_SETTINGS_MAX; i++) {
		int len = snprintf(name, sizeof(name), "r%u", i);

		for (int j = 0; j < len; j++)
			snprintf(hex + 2 * j, 3, "%02x", (unsigned)name[j]);
		add(&all, hex, "1");
	}
	role_settings_sort(&all);
	for (unsigned i = 0; i <= ROLE_SETTINGS_MAX; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		cr_assert_eq(role_settings_version(&all, name) != none, i < ROLE_SETTINGS_MAX, "%s", name);
	}
}

Test(role_settings, have_names_as_long_as_postgresql_keeps_them)
{
	char name[65], hex[127];

	for (size_t i = 0; i < 64; i++)
		name[i] = 'x';
	name[64] = '\0';
	for (size_t i = 0; i < 63; i++)
		snprintf(hex + 2 * i, 3, "78");
	add(&all, hex, "3");
	cr_expect_neq(role_settings_version(&all, name), role_settings_version(&other, name), "it is cut");
}
