/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>

#include "database.h"
#include "store/store.h"
#include "store/store_realm.h"

static int make(void **state)
{
    struct database *db = database_make();

    database_must_open(db, STORE_CREATE);
    *state = db;
    return 0;
}

static int remove_all(void **state)
{
    database_remove(*state);
    return 0;
}

static const struct bytes all_realms = {NULL, 0};

/* What a walk saw, as one line. */
struct seen {
    char text[1024];
    int stop_with; /* returned for the first row */
};

static void see(struct seen *seen, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void see(struct seen *seen, const char *format, ...)
{
    const size_t n = strlen(seen->text);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(seen->text + n, sizeof(seen->text) - n, format, args);
    va_end(args);
}

#define TEXT(b) (int)(b).n, (const char *)(b).p

static int see_oauth(void *arg, const struct store_oauth_key *key)
{
    struct seen *seen = arg;
    see(seen, "%.*s=%.*s,%" PRIu64 ",%" PRIu64 ",%.*s,%.*s%s ", TEXT(key->kid), TEXT(key->ikm_key),
        key->timestamp, key->lifetime, TEXT(key->as_rs_alg), TEXT(key->realm),
        key->damaged ? "!" : "");
    return seen->stop_with;
}

static int see_origin(void *arg, const struct store_origin *origin)
{
    struct seen *seen = arg;
    see(seen, "%.*s=%.*s ", TEXT(origin->origin), TEXT(origin->realm));
    return seen->stop_with;
}

static int see_option(void *arg, const struct store_option *option)
{
    struct seen *seen = arg;
    see(seen, "%.*s/%.*s=%.*s:", TEXT(option->realm), TEXT(option->name), TEXT(option->value));
    if (option->is_number) {
        see(seen, "%" PRIu64, option->number);
    }
    see(seen, " ");
    return seen->stop_with;
}

static int see_range(void *arg, const struct store_range *range)
{
    struct seen *seen = arg;
    see(seen, "%.*s/%.*s ", TEXT(range->realm), TEXT(range->range));
    return seen->stop_with;
}

static int see_admin(void *arg, const struct store_admin *admin)
{
    struct seen *seen = arg;
    see(seen, "%.*s/%.*s/%.*s ", TEXT(admin->name), TEXT(admin->realm), TEXT(admin->password));
    return seen->stop_with;
}

static int see_realm(void *arg, struct bytes realm)
{
    struct seen *seen = arg;
    see(seen, "%.*s ", TEXT(realm));
    return seen->stop_with;
}

static void oauth__keys_are_put_listed_and_removed(void **state)
{
    struct database *db = *state;
    struct store_oauth_key key = {.kid = text("north"),
                                  .ikm_key = text("a2V5"),
                                  .timestamp = 1700000000,
                                  .lifetime = 3600,
                                  .as_rs_alg = text("A256GCM"),
                                  .realm = text("crinna.org")};
    struct seen seen = {"", 0};

    assert_int_equal(store_oauth_put(db->store, &key), 0);
    key.kid = text("it's; --");
    key.realm = text("");
    key.as_rs_alg = text("");
    key.timestamp = key.lifetime = 0;
    assert_int_equal(store_oauth_put(db->store, &key), 0);
    key.kid = text("north");
    key.ikm_key = text("bmV3");
    assert_int_equal(store_oauth_put(db->store, &key), 0); /* the key of a kid is changed */
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), 0);
    assert_string_equal(seen.text, "it's; --=a2V5,0,0,, north=bmV3,0,0,, ");
    assert_int_equal(store_oauth_remove(db->store, text("it's; --")), 0);
    assert_int_equal(store_oauth_remove(db->store, text("it's; --")), -ENOENT);
    assert_int_equal(store_oauth_remove(db->store, text("")), -ENOENT);
}

/* Rows as coturn's web pages and people with a SQL shell write them. */
static void oauth__reads_rows_of_others(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};

    database_sql(db, "INSERT INTO oauth_key VALUES ('a','k',1700000000,3600,'A128GCM','r');"
                     "INSERT INTO oauth_key (kid) VALUES ('b');"
                     "INSERT INTO oauth_key VALUES ('c','k','soon',3600,'','');"
                     "INSERT INTO oauth_key VALUES ('d','k',0,-1,'','');"
                     "INSERT INTO oauth_key VALUES ('e','k',99999999999999999999,1,NULL,NULL);");
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), 0);
    assert_string_equal(seen.text, "a=k,1700000000,3600,A128GCM,r b=,0,0,, c=k,0,0,,! "
                                   "d=k,0,0,,! e=k,0,0,,! ");
}

static void oauth__numbers_must_fit_their_columns(void **state)
{
    struct database *db = *state;
    struct store_oauth_key key = {.kid = text("k"), .ikm_key = text("i")};
    struct seen seen = {"", 0};

    key.timestamp = (uint64_t)INT64_MAX + 1;
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.timestamp = INT64_MAX;
    key.lifetime = (uint64_t)INT32_MAX + 1;
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.lifetime = INT32_MAX;
    assert_int_equal(store_oauth_put(db->store, &key), 0);
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), 0);
    assert_string_equal(seen.text, "k=i,9223372036854775807,2147483647,, ");
}

static void origins__are_put_listed_and_removed(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};

    assert_int_equal(store_origin_put(db->store, text("http://b:80"), text("r")), 0);
    assert_int_equal(store_origin_put(db->store, text("http://a:80"), text("r")), 0);
    assert_int_equal(store_origin_put(db->store, text("http://a:80"), text("s")), 0);
    assert_int_equal(store_origin_put(db->store, text("http://a:80"), text("")), -EINVAL);
    assert_int_equal(store_origin_put(db->store, text(""), text("r")), -EINVAL);
    assert_int_equal(store_origin_list(db->store, see_origin, &seen), 0);
    assert_string_equal(seen.text, "http://b:80=r http://a:80=s ");
    assert_int_equal(store_origin_remove(db->store, text("http://a:80")), 0);
    assert_int_equal(store_origin_remove(db->store, text("http://a:80")), -ENOENT);
}

static void options__are_put_listed_and_removed(void **state)
{
    struct database *db = *state;
    struct seen all = {"", 0};
    struct seen one = {"", 0};

    assert_int_equal(store_option_put(db->store, text("r"), text("max-bps"), 1000), 0);
    assert_int_equal(store_option_put(db->store, text("r"), text("max-bps"), UINT64_MAX), 0);
    assert_int_equal(store_option_put(db->store, text(""), text("user-quota"), 0), 0);
    database_sql(db,
                 "INSERT INTO turn_realm_option VALUES ('s','total-quota','-1');"
                 "INSERT INTO turn_realm_option VALUES ('s','user-quota',' 1');"
                 "INSERT INTO turn_realm_option VALUES ('t','user-quota',NULL);"
                 "INSERT INTO turn_realm_option VALUES ('u','max-bps','18446744073709551616');");
    assert_int_equal(store_option_list(db->store, all_realms, see_option, &all), 0);
    assert_string_equal(all.text, "/user-quota=0:0 r/max-bps=18446744073709551615:"
                                  "18446744073709551615 s/total-quota=-1: s/user-quota= 1: "
                                  "t/user-quota=: u/max-bps=18446744073709551616: ");
    assert_int_equal(store_option_list(db->store, text(""), see_option, &one), 0);
    assert_string_equal(one.text, "/user-quota=0:0 ");
    assert_int_equal(store_option_remove(db->store, text("r"), text("max-bps")), 0);
    assert_int_equal(store_option_remove(db->store, text("r"), text("max-bps")), -ENOENT);
}

static void ranges__are_kept_apart(void **state)
{
    struct database *db = *state;
    struct seen allowed = {"", 0};
    struct seen denied = {"", 0};
    struct seen one = {"", 0};

    assert_int_equal(store_range_add(db->store, true, text("r"), text("192.0.2.1")), 0);
    assert_int_equal(store_range_add(db->store, true, text("r"), text("192.0.2.1")), -EEXIST);
    assert_int_equal(store_range_add(db->store, false, text("r"), text("::1-::2")), 0);
    assert_int_equal(store_range_add(db->store, false, text(""), text("192.0.2.1")), 0);
    assert_int_equal(store_range_add(db->store, false, text("r"), text("")), -EINVAL);
    assert_int_equal(store_range_list(db->store, true, all_realms, see_range, &allowed), 0);
    assert_string_equal(allowed.text, "r/192.0.2.1 ");
    assert_int_equal(store_range_list(db->store, false, all_realms, see_range, &denied), 0);
    assert_string_equal(denied.text, "/192.0.2.1 r/::1-::2 ");
    assert_int_equal(store_range_list(db->store, false, text("r"), see_range, &one), 0);
    assert_string_equal(one.text, "r/::1-::2 ");
    assert_int_equal(store_range_remove(db->store, true, text("r"), text("::1-::2")), -ENOENT);
    assert_int_equal(store_range_remove(db->store, false, text("r"), text("::1-::2")), 0);
}

static void admins__are_put_listed_and_removed(void **state)
{
    struct database *db = *state;
    struct store_admin admin = {text("root"), text(""), text("$5$a$b")};
    struct seen seen = {"", 0};

    assert_int_equal(store_admin_put(db->store, &admin), 0);
    admin.realm = text("r");
    assert_int_equal(store_admin_put(db->store, &admin), 0);
    admin.password = text("");
    assert_int_equal(store_admin_put(db->store, &admin), -EINVAL);
    assert_int_equal(store_admin_list(db->store, see_admin, &seen), 0);
    assert_string_equal(seen.text, "root/r/$5$a$b ");
    assert_int_equal(store_admin_remove(db->store, text("root")), 0);
    assert_int_equal(store_admin_remove(db->store, text("root")), -ENOENT);
}

/* What is longer than a column of coturn's MySQL or PostgreSQL schema would be cut off there. */
static void texts__must_fit_their_columns(void **state)
{
    static char many[STORE_IKM_MAX + 2];
    struct database *db = *state;
    struct store_oauth_key key = {.kid = text("k"), .ikm_key = text("i")};
    const struct bytes with_nul = {(const uint8_t *)"a\0b", 3};

    memset(many, 'x', sizeof(many) - 1);
    const uint8_t *x = (const uint8_t *)many;
    key.kid = (struct bytes){x, STORE_KID_MAX + 1};
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.kid = (struct bytes){x, STORE_KID_MAX};
    assert_int_equal(store_oauth_put(db->store, &key), 0);
    key.ikm_key = (struct bytes){x, STORE_IKM_MAX + 1};
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.ikm_key = text("");
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.ikm_key = with_nul;
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    key.ikm_key = text("i");
    key.as_rs_alg = (struct bytes){x, STORE_ALG_MAX + 1};
    assert_int_equal(store_oauth_put(db->store, &key), -EINVAL);
    const struct bytes realm = {x, STORE_ROW_REALM_MAX + 1};
    assert_int_equal(store_origin_put(db->store, text("o"), realm), -EINVAL);
    assert_int_equal(
        store_origin_put(db->store, (struct bytes){x, STORE_ORIGIN_MAX + 1}, text("r")), -EINVAL);
    assert_int_equal(store_option_put(db->store, realm, text("max-bps"), 1), -EINVAL);
    assert_int_equal(
        store_option_put(db->store, text("r"), (struct bytes){x, STORE_OPTION_MAX + 1}, 1),
        -EINVAL);
    assert_int_equal(
        store_range_add(db->store, true, text("r"), (struct bytes){x, STORE_RANGE_MAX + 1}),
        -EINVAL);
    const struct store_admin admin = {{x, STORE_ADMIN_MAX + 1}, text(""), text("p")};
    assert_int_equal(store_admin_put(db->store, &admin), -EINVAL);
    assert_int_equal(store_admin_remove(db->store, admin.name), -ENOENT);
}

static void walks__can_be_stopped(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", -ECANCELED};

    database_sql(db, "INSERT INTO turn_realm_option VALUES ('r','a','1'),('r','b','2');");
    assert_int_equal(store_option_list(db->store, all_realms, see_option, &seen), -ECANCELED);
    assert_string_equal(seen.text, "r/a=1:1 ");
    seen.text[0] = '\0';
    assert_int_equal(store_realm_list(db->store, see_realm, &seen), -ECANCELED);
    assert_string_equal(seen.text, "r ");
    assert_int_equal(store_option_remove(db->store, text("r"), text("a")), 0); /* no lock is left */
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_words(char *line)
{
    char copy[1024];
    char *words[64];
    char *rest = NULL;
    size_t n = 0;

    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *w = strtok_r(copy, " ", &rest); w != NULL && n < 64;
         w = strtok_r(NULL, " ", &rest)) {
        words[n++] = w;
    }
    qsort(words, n, sizeof(words[0]), by_text);
    line[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strcat(strcat(line, words[i]), " ");
    }
}

static const char rows_sql[] =
    "INSERT INTO turnusers_lt VALUES ('users','a','k'),('users','b','k'),('both','a','k'),"
    "('','a','k'),(NULL,'a','k');"
    "INSERT INTO turn_secret VALUES ('secrets','s'),('both','s'),('','s');"
    "INSERT INTO turn_realm_option VALUES ('options','max-bps','1'),('both','max-bps','1');"
    "INSERT INTO turn_origin_to_realm VALUES ('o1','origins'),('o2','origins'),('o3','both'),"
    "('o4',NULL);"
    "INSERT INTO allowed_peer_ip VALUES ('allowed','::1'),('both','::1');"
    "INSERT INTO denied_peer_ip VALUES ('denied','::1'),('denied','::2'),('both','::1');"
    "INSERT INTO oauth_key VALUES ('k','i',0,0,'','oauth'),('l','i',0,0,'','both'),"
    "('m','i',0,0,'','');"
    "INSERT INTO admin_user VALUES ('a','admins only','p');";

static void realms__are_each_told_once(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};

    assert_int_equal(store_realm_list(db->store, see_realm, &seen), 0);
    assert_string_equal(seen.text, "");
    database_sql(db, rows_sql);
    assert_int_equal(store_realm_list(db->store, see_realm, &seen), 0);
    sort_words(seen.text);
    assert_string_equal(seen.text, "allowed both denied oauth options origins secrets users ");
}

/* Databases of old coturns. */
static void tables__that_lack_are_empty(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};

    database_sql(db, rows_sql);
    database_sql(db, "DROP TABLE turn_realm_option; DROP TABLE turn_origin_to_realm;"
                     "DROP TABLE allowed_peer_ip; DROP TABLE denied_peer_ip; DROP TABLE oauth_key;"
                     "DROP TABLE admin_user; DROP TABLE sterna_user;");
    database_must_open(db, STORE_LOOK);
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), 0);
    assert_int_equal(store_origin_list(db->store, see_origin, &seen), 0);
    assert_int_equal(store_option_list(db->store, all_realms, see_option, &seen), 0);
    assert_int_equal(store_range_list(db->store, true, all_realms, see_range, &seen), 0);
    assert_int_equal(store_range_list(db->store, false, text("both"), see_range, &seen), 0);
    assert_int_equal(store_admin_list(db->store, see_admin, &seen), 0);
    assert_string_equal(seen.text, "");
    assert_int_equal(store_oauth_remove(db->store, text("k")), -ENOENT);
    assert_int_equal(store_realm_list(db->store, see_realm, &seen), 0);
    sort_words(seen.text);
    assert_string_equal(seen.text, "both secrets users ");
    database_must_open(db, STORE_CHANGE); /* makes what lacks */
    assert_int_equal(store_origin_put(db->store, text("o"), text("r")), 0);
}

static void locked__is_busy(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};
    sqlite3 *other;

    assert_int_equal(sqlite3_open(db->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(store_origin_put(db->store, text("o"), text("r")), -EBUSY);
    assert_int_equal(store_origin_remove(db->store, text("o")), -EBUSY);
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), -EBUSY);
    assert_int_equal(store_realm_list(db->store, see_realm, &seen), -EBUSY);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(store_origin_put(db->store, text("o"), text("r")), 0);
}

static void damaged__is_an_error(void **state)
{
    struct database *db = *state;
    struct seen seen = {"", 0};

    database_sql(db, "DROP TABLE oauth_key; CREATE TABLE oauth_key (kid text);");
    assert_int_equal(store_oauth_list(db->store, see_oauth, &seen), -EIO);
    assert_non_null(strstr(store_error(db->store), "no such column"));
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make, remove_all)
    const struct CMUnitTest tests[] = {
        EACH(oauth__keys_are_put_listed_and_removed),
        EACH(oauth__reads_rows_of_others),
        EACH(oauth__numbers_must_fit_their_columns),
        EACH(origins__are_put_listed_and_removed),
        EACH(options__are_put_listed_and_removed),
        EACH(ranges__are_kept_apart),
        EACH(admins__are_put_listed_and_removed),
        EACH(texts__must_fit_their_columns),
        EACH(walks__can_be_stopped),
        EACH(realms__are_each_told_once),
        EACH(tables__that_lack_are_empty),
        EACH(locked__is_busy),
        EACH(damaged__is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
