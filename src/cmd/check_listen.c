/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/check_listen.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/conf_listener.h"
#include "relay/listener.h"
#include "relay/tls_conf.h"

static const char *takes(const struct listener_spec *spec)
{
    const char *secure = spec->stream ? "TLS" : "DTLS";
    const char *both = spec->stream ? "plain and TLS" : "plain and DTLS";

    return !spec->secure ? "plain" : spec->plain ? both : secure;
}

static void line(const struct listener_spec *spec, FILE *out)
{
    char text[LISTENER_TEXT];

    fprintf(out, "  %-30s %s", listener_text(spec, text), takes(spec));
    if (spec->tls_name[0] != 0) {
        fprintf(out, ", certificate of [tls \"%s\"]", spec->tls_name);
    }
    fputs(spec->proxy ? ", behind a balancer (PROXY protocol)\n" : "\n", out);
}

static void write_listeners(const struct conf *conf, struct listener_plan *plan, FILE *out,
                            struct check_faults *faults)
{
    char why[512] = "";
    const int err = listener_plan_read(conf, plan, why, sizeof(why));

    if (err < 0) {
        fprintf(out, "error: %s\n", why);
        faults->errors++;
        return;
    }
    fputs("Clients are served on:\n", out);
    for (size_t i = 0; i < plan->count; i++) {
        line(&plan->item[i], out);
    }
}

static int write_certificates(const struct conf *conf, FILE *out, struct check_faults *faults)
{
    char why[512] = "";
    const int err = conf_serves_secure(conf) ? tls_conf_check(conf, why, sizeof(why)) : 0;

    if (err == -ENOMEM) {
        return err;
    }
    if (err != 0) {
        fprintf(out, "%s: %s\n", conf_severity_text(err < 0 ? CONF_ERROR : CONF_WARNING), why);
        faults->errors += err < 0 ? 1 : 0;
        faults->warnings += err > 0 ? 1 : 0;
    }
    return 0;
}

int check_listen_write(const struct conf *conf, FILE *out, struct check_faults *faults)
{
    struct listener_plan *plan = mem_new(1, sizeof(*plan));

    *faults = (struct check_faults){.errors = 0};
    if (plan == NULL) {
        return -ENOMEM;
    }
    const int err = write_certificates(conf, out, faults);
    if (err == 0) {
        write_listeners(conf, plan, out, faults);
    }
    free(plan);
    return err;
}
