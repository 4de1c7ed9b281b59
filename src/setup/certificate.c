/*
 * src/setup/certificate.c - makes a self-signed certificate, for a pooler that must use TLS and was given no
 * certificate. Clients without a copy of it can't verify it, and are protected only against passive eavesdropping.
 */
#include "setup/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIFETIME_S (3650L * 24 * 60 * 60)
#define EARLIER_S 3600L /* the certificate is valid from an hour ago, for clients whose clocks are slow */
#define NAME_MAX_LEN 64 /* the longest common name: ub-common-name in RFC 5280 */

static bool
set_names(X509 *x)
{
	char host[NAME_MAX_LEN + 1] = "", alternative[NAME_MAX_LEN + 5];
	X509_NAME *name = X509_NAME_new();
	X509_EXTENSION *names;
	bool is_done;

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		snprintf(host, sizeof(host), "localhost");
	snprintf(alternative, sizeof(alternative), "DNS:%s", host);
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
	is_done = X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1, -1, 0) == 1 &&
		  X509_set_subject_name(x, name) == 1 && X509_set_issuer_name(x, name) == 1 && names != NULL &&
		  X509_add_ext(x, names, -1) == 1;
	X509_EXTENSION_free(names);
	X509_NAME_free(name);
	return is_done;
}

static X509 *
make_x509(EVP_PKEY *key)
{
	X509 *x = X509_new();
	uint32_t serial;

	if (x != NULL && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 && X509_set_version(x, 2) == 1 &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), (uint64_t)serial + 1) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -EARLIER_S) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(x), LIFETIME_S) != NULL && X509_set_pubkey(x, key) == 1 &&
	    set_names(x) && X509_sign(x, key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

/* Creates a file in directory, and writes the file's path to path. Returns the file, or NULL with *why set. */
static FILE *
create_file(const char *directory, const char *name, mode_t mode, char path[static PATH_MAX], struct fail *why)
{
	int fd = -1;
	FILE *f = NULL;

	if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
		errno = ENAMETOOLONG;
	else
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 || (f = fdopen(fd, "w")) == NULL)
		fail_set(why, "58000", "could not write %.256s: %s", path, strerror(errno));
	if (fd >= 0 && f == NULL)
		close(fd);
	return f;
}

int
setup_make_certificate(const char *directory, struct fail *why)
{
	char crt_path[PATH_MAX], key_path[PATH_MAX];
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key != NULL ? make_x509(key) : NULL;
	FILE *crt_file = NULL, *key_file = NULL;
	int rc = -1;

	if (x == NULL)
		fail_set(why, "58000", "OpenSSL could not make a certificate");
	else if ((crt_file = create_file(directory, "server.crt", 0644, crt_path, why)) != NULL &&
		 (key_file = create_file(directory, "server.key", 0600, key_path, why)) != NULL)
		rc = PEM_write_X509(crt_file, x) == 1 &&
			     PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) == 1
			 ? 0
			 : fail_set(why, "58000", "could not write %.256s", directory);
	if (crt_file != NULL && fclose(crt_file) != 0 && rc == 0)
		rc = fail_set(why, "58000", "could not write %.256s: %s", crt_path, strerror(errno));
	if (key_file != NULL && fclose(key_file) != 0 && rc == 0)
		rc = fail_set(why, "58000", "could not write %.256s: %s", key_path, strerror(errno));
	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}
