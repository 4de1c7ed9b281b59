/*
 * tests/unit/test_hba.c - the HBA file: how its lines are written, what they mean, who is admitted. Links auth and base
 * alone.
 */
#include "auth/hba.h"

#include "build.h"
#include "unit.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(WITH_LDAP) && defined(WITH_PAM)
#define HAS_BOTH
#endif

struct problems {
	size_t error_count, warning_count;
	char first[1024], last[1024];
};

static void
note(bool is_error, const char *path, unsigned line, const char *text, void *arg)
{
	struct problems *p = arg;

	snprintf(p->last, sizeof(p->last), "%s:%u: %s", path, line, text);
	if (p->error_count + p->warning_count == 0)
		memcpy(p->first, p->last, sizeof(p->first));
	*(is_error ? &p->error_count : &p->warning_count) += 1;
}

/* From memory of exactly the text's size: a sanitizer sees a byte too far. */
static struct hba *
parse(const char *text, size_t len, struct problems *p)
{
	char *exact = malloc(len + 1);
	struct hba *hba;

	memset(p, 0, sizeof(*p));
	memcpy(exact + 1, text, len);
	hba = hba_load(exact + 1, len, "hba", note, p);
	free(exact);
	return hba;
}

/* --- Who asks: "unix", "ADDRESS" or "tls ADDRESS", then " replication" for that of a cluster. --- */

static bool
is_near(const struct sockaddr *address, bool is_net)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	uint32_t ip = ntohl(in->sin_addr.s_addr);

	if (address->sa_family != AF_INET)
		return false;
	return is_net ? ip >> 8 == 0x0a0909 : ip == 0x0a090901; /* we are 10.9.9.1/24 */
}

/* What is told at once, and what only when it is asked again; how often either was asked. */
struct asked {
	bool is_late, is_known;
	unsigned names, roles;
};
static _Thread_local struct asked asked;

static enum hba_fit
tell(bool is_so, struct asked *a)
{
	if (!a->is_late || a->is_known)
		return is_so ? HBA_YES : HBA_NO;
	a->is_known = true;
	return HBA_LATER;
}

static enum hba_fit
has_name(const char *word, void *arg)
{
	((struct asked *)arg)->names++;
	return tell(hba_host_fits(word, "web1.Example.com"), arg);
}

static enum hba_fit
is_member(const char *role, void *arg)
{
	((struct asked *)arg)->roles++;
	return tell(strcmp(role, "staff") == 0 || strcmp(role, "d") == 0, arg);
}

static void
ask(const char *from, const char *database, const char *user, struct hba_question *q, struct sockaddr_storage *room)
{
	struct sockaddr_in *in = (struct sockaddr_in *)room;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)room;
	const char *blank;
	char address[64] = "";

	memset(q, 0, sizeof(*q));
	memset(room, 0, sizeof(*room));
	q->database = database;
	q->user = user;
	q->is_own_address = is_near;
	q->has_name = has_name;
	q->is_member = is_member;
	q->arg = &asked;
	q->address = (struct sockaddr *)room;
	q->over = strncmp(from, "tls ", 4) == 0 ? HBA_OVER_TLS : HBA_OVER_TCP;
	from += q->over == HBA_OVER_TLS ? 4 : 0;
	blank = strchr(from, ' ');
	q->is_physical = blank != NULL;
	snprintf(address, sizeof(address), "%.*s", blank != NULL ? (int)(blank - from) : (int)strlen(from), from);
	if (strcmp(address, "unix") == 0)
		q->over = HBA_OVER_UNIX;
	in->sin_family = AF_INET;
	if (q->over == HBA_OVER_UNIX || inet_pton(AF_INET, address, &in->sin_addr) == 1)
		return;
	in6->sin6_family = AF_INET6;
	cr_assert_eq(inet_pton(AF_INET6, address, &in6->sin6_addr), 1, "%s", address);
}

#define METHOD(name, ...) [HBA_MODULES + AUTH_MODULE_##name] = #name,
static const char *const method_names[] = {
	[HBA_REJECT] = "reject",     [HBA_TRUST] = "trust", [HBA_SCRAM] = "scram", [HBA_MD5] = "md5",
	[HBA_PASSWORD] = "password", [HBA_CERT] = "cert",   [HBA_PEER] = "peer",   AUTH_MODULES(METHOD)
};

static const struct {
	const char *rule, *text, *from, *database, *user, *want; /* want: line and method, or "none" */
} rows[] = {
	{ "all is all", "local all all trust\n", "unix", "d", "u", "1 trust" },
	{ "no newline at the end", "local all all trust", "unix", "d", "u", "1 trust" },
	{ "carriage returns", "\r\nlocal all all trust\r\n", "unix", "d", "u", "2 trust" },
	{ "comments and blank lines", "# x\n\n  \t\nlocal all all trust # y\n", "unix", "d", "u", "4 trust" },
	{ "a comment at once behind a word", "local all all trust#y\n", "unix", "d", "u", "1 trust" },
	{ "the first that fits decides", "local d u reject\nlocal all all trust\n", "unix", "d", "u", "1 reject" },
	{ "the others do not", "local d u reject\nlocal all all trust\n", "unix", "d", "v", "2 trust" },
	{ "none fits", "local d u trust\n", "unix", "e", "u", "none" },
	{ "continued lines", "local all \\\n all \\\r\n trust\nlocal all all reject\n", "unix", "d", "u", "1 trust" },
	{ "lines are counted as they are in the file", "local x all \\\ntrust\nlocal all all reject\n", "unix", "d",
	  "u", "3 reject" },
	{ "a word continued", "local all all tru\\\nst\n", "unix", "d", "u", "1 trust" },
	{ "a comment continued", "# x \\\nlocal all all trust\nlocal all all reject", "unix", "d", "u", "3 reject" },
	{ "a backslash elsewhere is a character", "local a\\b all trust\n", "unix", "a\\b", "u", "1 trust" },
	{ "the last line continued into nothing", "local all all trust\\", "unix", "d", "u", "1 trust" },

	/* lists and quotes */
	{ "a list", "local a,b,c x,y trust\n", "unix", "c", "y", "1 trust" },
	{ "a list with blanks behind the commas", "local a, b,\tc x , y trust\n", "unix", "c", "x", "none" },
	{ "and before them", "local a, b,\tc x, y trust\n", "unix", "c", "y", "1 trust" },
	{ "commas without end", "local ,,a,, x trust\n", "unix", "a", "x", "none" },
	{ "quotes take the blanks in", "local \"my db\" \"x,y\" trust\n", "unix", "my db", "x,y", "1 trust" },
	{ "a quoted all is a name", "local \"all\" \"all\" trust\n", "unix", "d", "u", "none" },
	{ "of that database", "local \"all\" \"all\" trust\n", "unix", "all", "all", "1 trust" },
	{ "a quoted sameuser is a name", "local \"sameuser\" all trust\n", "unix", "u", "u", "none" },
	{ "a quoted replication is a name", "local \"replication\" all trust\n", "unix", "replication", "u",
	  "1 trust" },
	{ "two quotes are one", "local \"a\"\"b\" all trust\n", "unix", "a\"b", "u", "1 trust" },
	{ "a quote within a word", "local a\"b c\"d all trust\n", "unix", "ab cd", "u", "1 trust" },
	{ "a hash within quotes", "local \"a#b\" all trust\n", "unix", "a#b", "u", "1 trust" },
	{ "an empty name", "local all \"\" trust\n", "unix", "d", "u", "none" },
	{ "capitals count", "local D u trust\n", "unix", "d", "u", "none" },
	{ "a quoted plus is a name", "local all \"+g\" trust\n", "unix", "d", "+g", "1 trust" },
	{ "a quoted at is a name", "local all \"@g\" trust\n", "unix", "d", "@g", "1 trust" },
	{ "a lonely at is a name", "local all @ trust\n", "unix", "d", "@", "1 trust" },

	/* databases */
	{ "sameuser", "local sameuser all trust\n", "unix", "u", "u", "1 trust" },
	{ "sameuser, another", "local sameuser all trust\n", "unix", "d", "u", "none" },
	{ "replication does not fit all", "local all all trust\n", "unix replication", "d", "u", "none" },
	{ "nor a name", "local d all trust\n", "unix replication", "d", "u", "none" },
	{ "nor an expression", "local /. all trust\n", "unix replication", "d", "u", "none" },
	{ "but itself", "local a,replication all trust\n", "unix replication", "d", "u", "1 trust" },
	{ "and that fits nothing else", "local replication all trust\n", "unix", "replication", "u", "none" },
	{ "an expression", "local /^db[0-9]+$ all trust\n", "unix", "db12", "u", "1 trust" },
	{ "an expression that does not fit", "local /^db[0-9]+$ all trust\n", "unix", "db12x", "u", "none" },
	{ "it is found anywhere", "local /b1 all trust\n", "unix", "db12", "u", "1 trust" },
	{ "with a comma, in quotes", "local \"/^a{1,2}$\" all trust\n", "unix", "aa", "u", "1 trust" },
	{ "of a user", "local all /^(x|y)$ trust\n", "unix", "d", "y", "1 trust" },
	{ "escaped", "local all /^x\\.y$ trust\n", "unix", "d", "xzy", "none" },

	/* types */
	{ "local is not host", "local all all trust\n", "127.0.0.1", "d", "u", "none" },
	{ "host is not local", "host all all all trust\n", "unix", "d", "u", "none" },
	{ "host with TLS", "host all all all trust\n", "tls 127.0.0.1", "d", "u", "1 trust" },
	{ "hostssl", "hostssl all all all scram-sha-256\n", "tls 127.0.0.1", "d", "u", "1 scram" },
	{ "hostssl without", "hostssl all all all scram-sha-256\n", "127.0.0.1", "d", "u", "none" },
	{ "hostnossl", "hostnossl all all all reject\n", "127.0.0.1", "d", "u", "1 reject" },
	{ "hostnossl with", "hostnossl all all all reject\n", "tls 127.0.0.1", "d", "u", "none" },
	{ "hostgssenc matches nobody", "hostgssenc all all all trust\n", "tls 127.0.0.1", "d", "u", "none" },
	{ "hostnogssenc fits everybody", "hostnogssenc all all all md5\n", "127.0.0.1", "d", "u", "1 md5" },

	/* addresses */
	{ "a network", "host all all 10.1.0.0/16 md5\n", "10.1.255.1", "d", "u", "1 md5" },
	{ "another network", "host all all 10.1.0.0/16 md5\n", "10.2.0.0", "d", "u", "none" },
	{ "bits that the mask leaves out do not count", "host all all 10.1.2.3/16 md5\n", "10.1.9.9", "d", "u",
	  "1 md5" },
	{ "not on a byte's border", "host all all 10.1.2.128/25 md5\n", "10.1.2.127", "d", "u", "none" },
	{ "within it", "host all all 10.1.2.128/25 md5\n", "10.1.2.200", "d", "u", "1 md5" },
	{ "one address", "host all all 10.1.2.3/32 md5\n", "10.1.2.4", "d", "u", "none" },
	{ "all of IPv4", "host all all 0.0.0.0/0 md5\n", "1.2.3.4", "d", "u", "1 md5" },
	{ "which is not IPv6", "host all all 0.0.0.0/0 md5\n", "2001:db8::1", "d", "u", "none" },
	{ "all of IPv6", "host all all ::/0 md5\n", "2001:db8::1", "d", "u", "1 md5" },
	{ "which is not IPv4", "host all all ::/0 md5\n", "1.2.3.4", "d", "u", "none" },
	{ "a network of IPv6", "host all all 2001:db8:8000::/33 md5\n", "2001:db8:ffff::1", "d", "u", "1 md5" },
	{ "and beside it", "host all all 2001:db8:8000::/33 md5\n", "2001:db8:7fff::1", "d", "u", "none" },
	{ "a mask of its own", "host all all 10.1.0.0 255.255.0.0 md5\n", "10.1.2.3", "d", "u", "1 md5" },
	{ "of IPv6", "host all all 2001:db8:: ffff:ffff:: md5\n", "2001:db8::9", "d", "u", "1 md5" },
	{ "IPv4 within IPv6 is IPv4", "host all all 10.1.0.0/16 md5\n", "::ffff:10.1.2.3", "d", "u", "1 md5" },
	{ "and not IPv6", "host all all ::/0 reject\nhost all all all md5\n", "::ffff:10.1.2.3", "d", "u", "2 md5" },
	{ "samehost", "host all all samehost md5\n", "10.9.9.1", "d", "u", "1 md5" },
	{ "samehost, a neighbour", "host all all samehost md5\n", "10.9.9.2", "d", "u", "none" },
	{ "samenet", "host all all samenet md5\n", "10.9.9.2", "d", "u", "1 md5" },
	{ "samenet, further away", "host all all samenet md5\n", "10.9.8.2", "d", "u", "none" },

	{ "a host's name", "host all all web1.example.com md5\n", "10.0.0.1", "d", "u", "1 md5" },
	{ "another host's", "host all all web2.example.com md5\n", "10.0.0.1", "d", "u", "none" },
	{ "the beginning of a name is none", "host all all web1.example md5\n", "10.0.0.1", "d", "u", "none" },
	{ "nor is its end", "host all all example.com md5\n", "10.0.0.1", "d", "u", "none" },
	{ "a domain", "host all all .example.com md5\n", "10.0.0.1", "d", "u", "1 md5" },
	{ "a domain further up", "host all all .COM md5\n", "10.0.0.1", "d", "u", "1 md5" },
	{ "another domain", "host all all .ample.com md5\n", "10.0.0.1", "d", "u", "none" },
	{ "a domain longer than the name", "host all all .a.long.web1.example.com md5\n", "10.0.0.1", "d", "u",
	  "none" },
	{ "a quoted word is a name", "host all all \"all\" md5\n", "10.0.0.1", "d", "u", "none" },
	{ "a Unix socket has no name", "host all all .com md5\nlocal all all md5\n", "unix", "d", "u", "2 md5" },

	/* roles */
	{ "a member", "local all +staff md5\n", "unix", "d", "u", "1 md5" },
	{ "not a member", "local all +others md5\n", "unix", "d", "u", "none" },
	{ "a member among names", "local all x,+staff,+others md5\n", "unix", "d", "u", "1 md5" },
	{ "a role that is not the user", "local all staff md5\n", "unix", "d", "u", "none" },
	{ "a role with a blank", "local all +\"a b\" md5\nlocal all all reject\n", "unix", "d", "u", "2 reject" },
	{ "samerole", "local samerole all md5\n", "unix", "d", "u", "1 md5" },
	{ "samegroup is its old name", "local samegroup all md5\n", "unix", "d", "u", "1 md5" },
	{ "samerole, not a member", "local samerole all md5\n", "unix", "e", "u", "none" },
	{ "samerole is not for replication", "local samerole all md5\n", "unix replication", "d", "u", "none" },
	{ "a quoted samerole is a name", "local \"samerole\" all md5\n", "unix", "d", "u", "none" },
	{ "a database that begins with a plus", "local +staff all md5\n", "unix", "d", "u", "none" },

	/* methods */
	{ "password", "host all all all password\n", "10.0.0.1", "d", "u", "1 password" },
	{ "cert", "hostssl all all all cert\n", "tls 10.0.0.1", "d", "u", "1 cert full" },
	{ "cert, said twice", "hostssl all all all cert clientcert=verify-full clientname=DN map=m\n", "tls 10.0.0.1",
	  "d", "u", "1 cert full DN map m" },
	{ "the common name alone", "hostssl all all all cert clientname=CN\n", "tls 10.0.0.1", "d", "u",
	  "1 cert full CN" },
	{ "a certificate besides", "hostssl all all all md5 clientcert=verify-ca\n", "tls 10.0.0.1", "d", "u",
	  "1 md5 ca" },
	{ "and its name", "hostssl all all all trust clientcert=verify-full\n", "tls 10.0.0.1", "d", "u",
	  "1 trust full" },
	{ "peer", "local all all peer map=\"a map\"\n", "unix", "d", "u", "1 peer map a map" },
	{ "ident of a Unix socket is peer", "local all all ident\n", "unix", "d", "u", "1 peer" },
};

static void
answer_text(const struct hba_answer *a, char *out, size_t out_cap)
{
	static const char *const certs[] = { "", " ca", " full" }, *const names[] = { "", " CN", " DN" };

	snprintf(out, out_cap, "%u %s%s%s%s%s", a->line, method_names[a->method], certs[a->clientcert],
		 names[a->clientname], a->map != NULL ? " map " : "", a->map != NULL ? a->map : "");
}

Test(hba, who_is_admitted_how)
{
	EACH(row, rows) {
		struct problems p;
		struct hba *hba = parse(row->text, strlen(row->text), &p);
		struct sockaddr_storage room;
		struct hba_question q;
		struct hba_answer answer;
		char got[128] = "none";

		/* A blank before a comma ends a list: what follows is the next field, as in PostgreSQL. */
		if (hba == NULL) {
			cr_expect_str_eq(row->want, "none", "%s: %s", row->rule, p.first);
			continue;
		}
		cr_expect_eq(p.error_count, 0, "%s: %s", row->rule, p.first);
		ask(row->from, row->database, row->user, &q, &room);
		if (hba_match(hba, &q, &answer) == HBA_YES) {
			cr_expect_str_eq(answer.path, "hba");
			answer_text(&answer, got, sizeof(got));
		}
		cr_expect_str_eq(got, row->want, "%s: got %s", row->rule, got);
		hba_unref(hba);
	}
}

static const struct {
	const char *rule, *text, *problem; /* its beginning */
} bad[] = {
	{ "nothing", "", "hba:0: there are no rules" },
	{ "only comments", "# x\n", "hba:0: there are no rules" },
	{ "an unknown type", "hosts all all all trust\n",
	  "hba:1: \"hosts\" is not a connection type: use local, host" },
	{ "capitals", "Local all all trust\n", "hba:1: \"Local\" is not a connection type" },
	{ "a list of types", "host,local all all trust\n", "hba:1: one connection type to a line, not a list" },
	{ "a type alone", "local\n", "hba:1: the line ends before its database" },
	{ "no user", "local all\n", "hba:1: the line ends before its user" },
	{ "no method", "local all all\n", "hba:1: the line ends before its authentication method" },
	{ "no address", "host all all\n", "hba:1: the line ends before its address" },
	{ "a method for an address", "host all all trust\n", "hba:1: the line ends before its authentication method" },
	{ "a host's name with a mask", "\nhost all all db.example.com/8 trust\n",
	  "hba:2: \"db.example.com/8\" is not an address: write it as" },
	{ "half an address", "host all all 10.0.1 trust\n", "hba:1: \"10.0.1\" is not an address" },
	{ "an address as a name", "host all all web.1 trust\n", "hba:1: \"web.1\" is not an address" },
	{ "a dot behind a name", "host all all db.example.com. trust\n", "hba:1: \"db.example.com.\" is not" },
	{ "a dot alone", "host all all . trust\n", "hba:1: \".\" is not an address" },
	{ "two dots", "host all all db..com trust\n", "hba:1: \"db..com\" is not an address" },
	{ "no letters of a name", "host all all b\xc3\xbc.com trust\n", "hba:1: \"b\xc3\xbc.com\" is not an address" },
	{ "a list of addresses", "host all all 10.0.0.1/32,10.0.0.2/32 trust\n", "hba:1: one address to a line" },
	{ "no mask", "host all all 10.0.0.1 trust\n",
	  "hba:1: \"trust\" is not a mask; write the address as in 10.0.0.0/8" },
	{ "nothing behind the address", "host all all 10.0.0.1\n", "hba:1: the line ends before its mask" },
	{ "a mask too long", "host all all 10.0.0.1/33 trust\n",
	  "hba:1: \"/33\" is not a CIDR mask: a number from 0 to 32" },
	{ "of IPv6", "host all all ::1/129 trust\n", "hba:1: \"/129\" is not a CIDR mask: a number from 0 to 128" },
	{ "an empty mask", "host all all 10.0.0.1/ trust\n", "hba:1: \"/\" is not a CIDR mask" },
	{ "a negative mask", "host all all 10.0.0.1/-1 trust\n", "hba:1: \"/-1\" is not a CIDR mask" },
	{ "a mask and more", "host all all 10.0.0.1/8x trust\n", "hba:1: \"/8x\" is not a CIDR mask" },
	{ "a huge mask", "host all all 10.0.0.1/18446744073709551624 trust\n",
	  "hba:1: \"/18446744073709551624\" is no" },
	{ "a short address", "host all all 127.1/8 trust\n", "hba:1: \"127.1/8\" is not an address" },
	{ "a very long address", "host all all 1111111111111111111111111111111111111111111111111111111111111/8 trust\n",
	  "hba:1: \"11111111" },
	{ "a mask with holes", "host all all 10.0.0.1 255.0.255.0 trust\n",
	  "hba:1: mask \"255.0.255.0\" has holes; write one rule for each network" },
	{ "masks of two kinds", "host all all 10.0.0.1 ffff:: trust\n", "hba:1: address and mask must both be IPv4" },
	{ "IPv4 written as IPv6", "host all all ::ffff:10.0.0.0/104 trust\n", "hba:1: ::ffff:10.0.0.0 matches nobody" },
	{ "a method that is not there", "host all all all sspi\n",
	  "hba:1: method \"sspi\" is not available in this pgweir" },
	{ "ident over the network", "host all all all ident\n",
	  "hba:1: method \"ident\" is not available in this pgweir" },
	{ "a method that never was", "host all all all scram\n",
	  "hba:1: method \"scram\" is not known; use scram-sha-256" },
	{ "peer over the network", "host all all all peer\n", "hba:1: peer is for local rules only" },
	{ "cert without TLS", "host all all all cert\n", "hba:1: cert is for hostssl rules only" },
	{ "cert on a Unix socket", "local all all cert\n", "hba:1: cert is for hostssl rules only" },
	{ "clientcert without TLS", "host all all all md5 clientcert=verify-ca\n", "hba:1: clientcert is for hostssl" },
	{ "an old clientcert", "hostssl all all all md5 clientcert=1\n",
	  "hba:1: clientcert=1: use verify-ca or verify-full" },
	{ "less than cert demands", "hostssl all all all cert clientcert=verify-ca\n",
	  "hba:1: clientcert=verify-ca: with" },
	{ "clientname without TLS", "host all all all md5 clientname=CN\n", "hba:1: clientname is for hostssl" },
	{ "clientname of something", "hostssl all all all cert clientname=SAN\n",
	  "hba:1: clientname=SAN: use CN or DN" },
	{ "map for a password", "host all all all md5 map=m\n", "hba:1: map is for the methods cert and peer only" },
	{ "an unknown option", "host all all all md5 pamservice=x\n", "hba:1: option \"pamservice\" is not known" },
#ifdef HAS_BOTH
	{ "an option of ldap's for pam", "local all all pam ldapserver=x\n",
	  "hba:1: option \"ldapserver\" is not known: with pam, use pamservice" },
	{ "an option of pam's for ldap", "local all all ldap ldapserver=a ldapprefix=uid= pamservice=x\n",
	  "hba:1: option \"pamservice\" is not one of ldap's" },
	{ "a map for ldap", "local all all ldap ldapserver=a ldapprefix=uid= map=m\n",
	  "hba:1: option \"map\" is not one of ldap's" },
	{ "an option of more than 31 bytes", "local all all ldap ldapsearchattributeldapsearchattribute=x\n",
	  "hba:1: option \"ldapsearchattributeldapsearchat\" is not one of ldap's" },
	{ "a password with a blank", "local all all ldap ldapserver=a ldapprefix=uid= ldapbindpasswd=a b\n",
	  "hba:1: a word is not an option: write name=value, and a value with blanks in quotes" },
	{ "ldap without options", "local all all ldap\n", "hba:1: ldap needs ldapbasedn, ldapprefix or ldapsuffix" },
	{ "ldap with half of them", "local all all ldap ldapserver=a\n", "hba:1: ldap needs ldapbasedn" },
#endif
#ifndef WITH_LDAP
	{ "ldap without its module", "local all all ldap\n",
	  "hba:1: method \"ldap\" is not available in this pgweir; use scram-sha-256, md5, password, " },
#endif
#ifndef WITH_PAM
	{ "pam without its module", "local all all pam\n", "hba:1: method \"pam\" is not available in this pgweir" },
#endif
	{ "no option", "host all all all md5 x\n", "hba:1: \"x\" is not an option: write name=value" },
	{ "a plus alone", "local all a,+ trust\n", "hba:1: \"+\" names no role: 1 to 63 bytes behind the plus" },
	{ "a role too long", "local all +a234567890123456789012345678901234567890123456789012345678901234 trust\n",
	  "hba:1: \"+a2345" },
	{ "an open quote", "local \"all all trust\nlocal all all trust\n", "hba:1: a quote is not closed on its line" },
	{ "a file, from memory", "local @x all trust\n", "hba:1: other files are not read here: \"x\"" },
	{ "an include, from memory", "include x\n", "hba:1: other files are not read here: \"x\"" },
	{ "an include of a list", "include x,y\n", "hba:1: include takes one name" },
	{ "an include of nothing", "include\n", "hba:1: \"include\" is not a connection type" },

	/* expressions that PostgreSQL would read in another way */
	{ "a class by a letter", "local /^\\d$ all trust\n",
	  "hba:1: regular expression \"^\\d$\": a backslash before a" },
	{ "a back-reference", "local \"/(a)\\1\" all trust\n",
	  "hba:1: regular expression \"(a)\\1\": a backslash before a" },
	{ "a lazy one", "local /a+?b all trust\n", "hba:1: regular expression \"a+?b\": ? after a repetition" },
	{ "one that looks ahead", "local \"/(?=a)\" all trust\n", "hba:1: regular expression \"(?=a)\": (? is not" },
	{ "a director", "local \"/***=a\" all trust\n", "hba:1: regular expression \"***=a\": ***" },
	{ "a backslash within brackets", "local \"/[\\.]\" all trust\n",
	  "hba:1: regular expression \"[\\.]\": a backslash" },
	{ "brackets without end", "local /[a all trust\n", "hba:1: regular expression \"[a\": a [ is not closed" },
	{ "a class without end", "local /[[:a] all trust\n",
	  "hba:1: regular expression \"[[:a]\": a [: is not closed" },
	{ "an unknown class", "local /[[:a:]] all trust\n", "hba:1: regular expression \"[[:a:]]\": " },
	{ "parentheses without end", "local /(a all trust\n", "hba:1: regular expression \"(a\": " },
	{ "a brace alone", "local /a{ all trust\n",
	  "hba:1: regular expression \"a{\": a { must be followed by a number" },
	{ "too many repetitions", "local /a{256} all trust\n",
	  "hba:1: regular expression \"a{256}\": repetitions are" },
	{ "or when multiplied", "local /((a{200}){200}){200} all trust\n",
	  "hba:1: regular expression \"((a{200}){200}){200}\": too many repetitions in braces" },
	{ "a backslash at the end", "local \"/a\\\" all trust\n", "hba:1: regular expression \"a\\\": a backslash" },
};

Test(hba, what_is_refused_and_why)
{
	EACH(row, bad) {
		struct problems p;
		struct hba *hba = parse(row->text, strlen(row->text), &p);

		cr_expect_null(hba, "%s", row->rule);
		cr_expect_eq(p.error_count, 1, "%s: %zu", row->rule, p.error_count);
		cr_expect(strncmp(p.first, row->problem, strlen(row->problem)) == 0, "%s: got %s", row->rule, p.first);
		hba_unref(hba);
	}
}

static const struct {
	const char *rule, *text;
	bool is_warned;
} warned[] = {
	{ "trust of everybody", "host all all all trust\n", true },
	{ "trust of a network", "host all all 10.0.0.0/8 trust\n", true },
	{ "trust of our networks", "host all all samenet trust\n", true },
	{ "trust of more than loopback", "host all all 126.0.0.0/7 trust\n", true },
	{ "trust of loopback", "host all all 127.0.0.1/32 trust\n", false },
	{ "trust of IPv6's", "host all all ::1/128 trust\n", false },
	{ "trust of this machine", "host all all samehost trust\n", false },
	{ "trust of Unix sockets", "local all all trust\n", false },
	{ "trust of certificates' names", "hostssl all all all trust clientcert=verify-full\n", false },
	{ "trust of any certificate", "hostssl all all all trust clientcert=verify-ca\n", true },
	{ "passwords in the clear", "host all all 10.0.0.0/8 password\n", true },
	{ "passwords by TLS", "hostssl all all all password\n", false },
	{ "rules for nobody", "hostgssenc all all all md5\n", true },
	{ "what is usual", "host all all all scram-sha-256\n", false },
#ifdef HAS_BOTH
	{ "an LDAP server in the clear", "hostssl all all all ldap ldapserver=a ldapprefix=uid=\n", true },
	{ "one with TLS", "hostssl all all all ldap ldapserver=a ldapprefix=uid= ldaptls=1\n", false },
	{ "one on this machine", "local all all ldap ldapserver=127.0.0.1 ldapprefix=uid=\n", false },
	{ "passwords in the clear, for LDAP", "host all all all ldap ldapurl=ldaps://a/dc=x\n", true },
	{ "for PAM", "host all all 10.0.0.0/8 pam\n", true },
	{ "for PAM by TLS", "hostssl all all all pam pamservice=x\n", false },
#endif
};

#ifdef HAS_BOTH
Test(hba, options_of_ldap_and_pam)
{
	struct problems p;
	const enum hba_method ldap = HBA_MODULES + AUTH_MODULE_ldap, pam = HBA_MODULES + AUTH_MODULE_pam;
	const struct auth_module *by_ldap = auth_modules[AUTH_MODULE_ldap], *by_pam = auth_modules[AUTH_MODULE_pam];
	const char *text = "local a all ldap ldapurl=\"ldap://h:7/dc=x,dc=y??sub\" ldapbinddn=\"cn=b, o=c\",ldaptls=1 "
			   "ldapbindpasswd=\"a \"\"b\"\" # c\"\n"
			   "local b all pam pamservice=\"a \"\"b\"\" # c\"\nlocal c all pam\n";
	struct hba *hba = parse(text, strlen(text), &p);
	struct hba_question q = { .over = HBA_OVER_UNIX, .database = "a", .user = "u" };
	struct hba_answer a;

	cr_assert_not_null(hba, "%s", p.first);
	cr_assert(hba_match(hba, &q, &a) == HBA_YES && a.method == ldap);
	cr_expect_str_eq(by_ldap->service_name(a.options, ""), "ldap://h:7");
	q.database = "b";
	cr_assert(hba_match(hba, &q, &a) == HBA_YES && a.method == pam);
	cr_expect_str_eq(by_pam->service_name(a.options, "own"), "a \"b\" # c");
	q.database = "c";
	cr_assert(hba_match(hba, &q, &a) == HBA_YES && a.method == pam);
	cr_expect_str_eq(by_pam->service_name(a.options, "own"), "own", "the configuration's own");
	hba_unref(hba);
}
#endif

Test(hba, what_is_warned_of)
{
	EACH(row, warned) {
		struct problems p;
		struct hba *hba = parse(row->text, strlen(row->text), &p);

		cr_expect_not_null(hba, "%s: %s", row->rule, p.first);
		cr_expect_eq(p.warning_count, row->is_warned, "%s: %s", row->rule, p.first);
		hba_unref(hba);
	}
}

Test(hba, every_bad_line_is_told)
{
	static const char text[] =
	    "local all all trust\nx\nhost all all all sspi\nlocal a,+b,+c /( ident x\nlocal \0 a\n";
	struct problems p;

	cr_expect_null(parse(text, sizeof(text) - 1, &p));
	cr_expect_eq(p.error_count, 4, "%zu", p.error_count);
	cr_expect_str_eq(p.last, "hba:5: there is a zero byte: this is not a text file");
}

Test(hba, expressions_are_not_without_number)
{
	size_t len = 0, cap = (RULE_REGEXES_MAX + 3) * 3 + 32;
	char *text = malloc(cap);
	struct problems p;

	len = (size_t)snprintf(text, cap, "local ");
	for (unsigned i = 0; i < RULE_REGEXES_MAX + 2; i++)
		len += (size_t)snprintf(text + len, cap - len, "/a,");
	len += (size_t)snprintf(text + len, cap - len, "b all trust\n");
	cr_expect_null(parse(text, len, &p));
	cr_expect_eq(p.error_count, 1, "told once, not %zu times", p.error_count);
	cr_expect_str_eq(p.first, "hba:1: more than 1000 regular expressions");
	free(text);
}

/* What takes time is asked of rules alone that no other column rules out, and a name before a role. */
Test(hba, what_takes_time_is_asked_last)
{
	static const struct {
		const char *text, *from, *user, *want;
		unsigned names, roles;
	} asks[] = {
		{ "host all all 10.0.0.1/32 md5\nhost all +staff web1.example.com trust\n", "10.0.0.1", "u", "1 md5", 0,
		  0 },
		{ "host x +staff web1.example.com trust\nhost all all all md5\n", "10.0.0.1", "u", "2 md5", 0, 0 },
		{ "host all x web1.example.com trust\nhost all all all md5\n", "10.0.0.1", "u", "2 md5", 0, 0 },
		{ "host all +staff 10.0.0.2/32 trust\nhost all all all md5\n", "10.0.0.1", "u", "2 md5", 0, 0 },
		{ "hostssl all +staff .com trust\nhost all all all md5\n", "10.0.0.1", "u", "2 md5", 0, 0 },
		{ "host all +staff,u all md5\n", "10.0.0.1", "u", "1 md5", 0, 0 },
		{ "host all +staff .org trust\nhost all all all md5\n", "10.0.0.1", "u", "2 md5", 1, 0 },
		{ "host all +staff .com md5\n", "10.0.0.1", "u", "1 md5", 1, 1 },
		{ "host samerole +others all md5\n", "10.0.0.1", "u", "none", 0, 2 },
	};

	EACH(row, asks)
		for (unsigned late = 0; late < 2; late++) {
			struct problems p;
			struct hba *hba = parse(row->text, strlen(row->text), &p);
			struct sockaddr_storage room;
			struct hba_question q;
			struct hba_answer answer;
			enum hba_fit fit;
			char got[128] = "none";

			cr_assert_not_null(hba, "%s: %s", row->text, p.first);
			ask(row->from, "d", row->user, &q, &room);
			asked = (struct asked){ .is_late = late == 1 };
			fit = hba_match(hba, &q, &answer);
			cr_expect_eq(fit == HBA_LATER, late == 1 && row->names + row->roles > 0, "%s", row->text);
			cr_expect(fit != HBA_LATER || asked.names + asked.roles == 1, "one question at a time");
			if (fit == HBA_LATER) {
				asked = (struct asked){ 0 };
				fit = hba_match(hba, &q, &answer);
			}
			if (fit == HBA_YES)
				answer_text(&answer, got, sizeof(got));
			cr_expect_str_eq(got, row->want, "%s: got %s", row->text, got);
			cr_expect_eq(asked.names, row->names, "%s: names %u", row->text, asked.names);
			cr_expect_eq(asked.roles, row->roles, "%s: roles %u", row->text, asked.roles);
			hba_unref(hba);
		}
}

Test(hba, a_rule_with_a_name_fits_nobody_whose_name_is_not_asked)
{
	static const char text[] = "host all all .com trust\nhost all +staff all trust\n";
	struct problems p;
	struct hba *hba = parse(text, strlen(text), &p);
	struct sockaddr_storage room;
	struct hba_question q;
	struct hba_answer answer;

	ask("10.0.0.1", "d", "u", &q, &room);
	q.has_name = q.is_member = NULL;
	cr_expect_eq(hba_match(hba, &q, &answer), HBA_NO);
	hba_unref(hba);
}

Test(hba, it_says_what_it_needs)
{
	struct problems p;
	static const char some[] = "local all all trust\nhostssl all all all trust clientcert=verify-full\n";
	static const char other[] = "local all all peer\nhost all x,+y all password\n";
	struct hba *hba = parse(some, strlen(some), &p);
	struct hba_needs needs = hba_find_needs(hba);

	cr_expect(!needs.secrets && needs.tls && needs.client_ca && !needs.roles);
	hba_unref(hba);
	hba = parse(other, strlen(other), &p);
	needs = hba_find_needs(hba);
	cr_expect(needs.secrets && !needs.tls && !needs.client_ca && needs.roles);
	cr_expect_eq(hba_ref(hba), hba);
	hba_unref(hba);
	hba_unref(hba);
	hba_unref(NULL);
}

/* --- Files. --- */

static void
put_file(const char *folder, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

struct tree {
	char folder[64], main[128], more[128];
	struct problems p;
};

static void
tree_init(struct tree *t)
{
	memset(t, 0, sizeof(*t));
	strcpy(t->folder, "/tmp/pgweir-hba-XXXXXX");
	cr_assert_not_null(mkdtemp(t->folder));
	snprintf(t->main, sizeof(t->main), "%s/hba.conf", t->folder);
	snprintf(t->more, sizeof(t->more), "%s/more.d", t->folder);
	cr_assert_eq(mkdir(t->more, 0700), 0);
}

static void
tree_fini(struct tree *t)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", t->folder);
	cr_expect_eq(system(command), 0);
}

static void
expect_answer(const struct hba *hba, const char *database, const char *user, const char *file, unsigned line)
{
	struct sockaddr_storage room;
	struct hba_question q;
	struct hba_answer a;

	ask("unix", database, user, &q, &room);
	cr_assert_eq(hba_match(hba, &q, &a), HBA_YES, "%s, %s", database, user);
	cr_expect_str_eq(strrchr(a.path, '/') + 1, file, "%s, %s: %s", database, user, a.path);
	cr_expect_eq(a.line, line, "%s, %s: line %u", database, user, a.line);
}

Test(hba, files_within_files)
{
	struct tree t;
	struct hba *hba;

	tree_init(&t);
	put_file(t.folder, "hba.conf",
		 "local a @users.txt trust\ninclude inner.conf\ninclude_if_exists nowhere.conf\ninclude_dir more.d\n"
		 "local @\"my dbs\",c all trust\n");
	put_file(t.folder, "users.txt", "x, y # not z\n\"all\" @more.txt\n");
	put_file(t.folder, "more.txt", "w\n");
	put_file(t.folder, "my dbs", "b1 b2\nb3\n");
	put_file(t.folder, "inner.conf", "\nlocal b all reject\n");
	put_file(t.more, "2.conf", "local d2 all trust\nlocal d1 all reject\n");
	put_file(t.more, "1.conf", "local d1 all trust\n");
	put_file(t.more, ".3.conf", "x\n");
	put_file(t.more, "4.conf~", "x\n");
	hba = hba_load(NULL, 0, t.main, note, &t.p);
	cr_assert_not_null(hba, "%s", t.p.first);
	expect_answer(hba, "a", "y", "hba.conf", 1);
	expect_answer(hba, "a", "all", "hba.conf", 1);
	expect_answer(hba, "a", "w", "hba.conf", 1);
	expect_answer(hba, "b", "u", "inner.conf", 2);
	expect_answer(hba, "d1", "u", "1.conf", 1);
	expect_answer(hba, "d2", "u", "2.conf", 1);
	expect_answer(hba, "b3", "u", "hba.conf", 5);
	expect_answer(hba, "c", "u", "hba.conf", 5);
	hba_unref(hba);
	tree_fini(&t);
}

Test(hba, files_are_ten_deep_and_no_more)
{
	struct tree t;
	char name[16], text[64], want[256];
	struct hba *hba;

	tree_init(&t);
	put_file(t.folder, "hba.conf", "include 2\n");
	for (unsigned i = 2; i < RULE_DEPTH_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		snprintf(text, sizeof(text), "include %u\n", i + 1);
		put_file(t.folder, name, text);
	}
	put_file(t.folder, "10", "local all all trust\n");
	put_file(t.folder, "11", "local all all reject\n");
	hba = hba_load(NULL, 0, t.main, note, &t.p);
	cr_assert_not_null(hba, "%s", t.p.first);
	expect_answer(hba, "d", "u", "10", 1);
	hba_unref(hba);
	put_file(t.folder, "10", "include 11\n");
	cr_expect_null(hba_load(NULL, 0, t.main, note, &t.p));
	snprintf(want, sizeof(want), "%s/10:1: \"11\" is more than 10 files deep; does a file include itself?",
		 t.folder);
	cr_expect_str_eq(t.p.first, want);
	tree_fini(&t);
}

Test(hba, an_empty_list_is_nobody)
{
	struct sockaddr_storage room;
	struct hba_question q;
	struct hba_answer a;
	struct tree t;
	struct hba *hba;

	tree_init(&t);
	put_file(t.folder, "hba.conf", "local all @users.txt trust\n");
	put_file(t.folder, "users.txt", "# nobody\n");
	hba = hba_load(NULL, 0, t.main, note, &t.p);
	cr_assert_not_null(hba, "%s", t.p.first);
	ask("unix", "d", "u", &q, &room);
	cr_expect_eq(hba_match(hba, &q, &a), HBA_NO);
	hba_unref(hba);
	tree_fini(&t);
}

static void
expect_problem(struct tree *t, const char *file, unsigned line, const char *text)
{
	char want[512];
	struct hba *hba;

	memset(&t->p, 0, sizeof(t->p));
	hba = hba_load(NULL, 0, t->main, note, &t->p);
	cr_expect_null(hba, "%s", text);
	snprintf(want, sizeof(want), "%s/%s:%u: %s", t->folder, file, line, text);
	cr_expect(strncmp(t->p.first, want, strlen(want)) == 0, "want %s, got %s", want, t->p.first);
	hba_unref(hba);
}

Test(hba, a_file_that_anyone_may_change)
{
	char want[256];
	struct tree t;
	struct hba *hba;

	tree_init(&t);
	put_file(t.folder, "hba.conf", "local all all trust\n");
	cr_assert_eq(chmod(t.main, 0646), 0);
	hba = hba_load(NULL, 0, t.main, note, &t.p);
	cr_expect_not_null(hba);
	snprintf(want, sizeof(want), "%s:0: anyone may change this file: use chmod o-w", t.main);
	cr_expect_str_eq(t.p.first, want);
	cr_expect_eq(t.p.warning_count, 1);
	hba_unref(hba);
	tree_fini(&t);
}

Test(hba, problems_of_files)
{
	struct tree t;
	char text[256];

	tree_init(&t);
	snprintf(text, sizeof(text), "could not open %s: No such file", t.main);
	expect_problem(&t, "hba.conf", 0, text);
	put_file(t.folder, "hba.conf", "local all all trust\ninclude nowhere.conf\n");
	snprintf(text, sizeof(text), "could not open %s/nowhere.conf: No such file", t.folder);
	expect_problem(&t, "hba.conf", 2, text);
	put_file(t.folder, "hba.conf", "local @nowhere.conf all trust\n");
	expect_problem(&t, "hba.conf", 1, text);
	cr_expect_eq(t.p.error_count, 1, "the rule itself is not told of, too");
	put_file(t.folder, "hba.conf", "local all all trust\ninclude_dir nowhere.d\n");
	snprintf(text, sizeof(text), "could not open folder \"%s/nowhere.d\": No such file", t.folder);
	expect_problem(&t, "hba.conf", 2, text);
	put_file(t.folder, "hba.conf", "local all all trust\ninclude_if_exists more.d\n");
	snprintf(text, sizeof(text), "%s is a directory", t.more);
	expect_problem(&t, "hba.conf", 2, text);
	put_file(t.folder, "hba.conf", "local all all trust\ninclude hba.conf\n");
	expect_problem(&t, "hba.conf", 2, "\"hba.conf\" is more than 10 files deep; does a file include itself?");
	put_file(t.folder, "hba.conf", "local all @users.txt trust\n");
	put_file(t.folder, "users.txt", "a\n\"b\n");
	expect_problem(&t, "users.txt", 2, "a quote is not closed on its line");
	put_file(t.folder, "users.txt", "a\n@users.txt\n");
	expect_problem(&t, "users.txt", 2, "\"users.txt\" is more than 10 files deep");
	put_file(t.folder, "users.txt", "");
	snprintf(text, sizeof(text), "%s/users.txt", t.folder);
	cr_assert_eq(truncate(text, (off_t)RULE_BYTES_MAX), 0);
	snprintf(text, sizeof(text), "together with %s/users.txt it is larger than 4 MiB", t.folder);
	expect_problem(&t, "hba.conf", 1, text);
	tree_fini(&t);
}
