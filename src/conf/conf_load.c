/* SPDX-License-Identifier: Apache-2.0 */
/* All sources together, and where the file is found. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_int.h"

/* Write folder and name as one path; true when it is there.  One that is there but cannot be read
 * is not passed over: loading it says so. */
static bool try_path(const char *folder, const char *name, char *path, size_t cap)
{
    const int len = snprintf(path, cap, "%s%s", folder, name);

    return len > 0 && (size_t)len < cap && access(path, F_OK) == 0;
}

int conf_file_find(const char *name, char *path, size_t cap)
{
    static const char *const own[] = {"/etc/sterna/sterna.conf", "/etc/sterna.conf"};
    static const char *const folders[] = {/* coturn's, in its order */
                                          "./",
                                          "./turnserver/",
                                          "./coturn/",
                                          "./etc/",
                                          "./etc/turnserver/",
                                          "./etc/coturn/",
                                          "../etc/",
                                          "../etc/turnserver/",
                                          "../etc/coturn/",
                                          "/etc/",
                                          "/etc/turnserver/",
                                          "/etc/coturn/",
                                          "/usr/local/etc/",
                                          "/usr/local/etc/turnserver/",
                                          "/usr/local/etc/coturn/"};

    if (name == NULL) {
        for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
            if (try_path("", own[i], path, cap)) {
                return 0;
            }
        }
        name = "turnserver.conf";
    } else if (try_path("", name, path, cap)) {
        return 0;
    } else if (name[0] == '/') {
        return -ENOENT;
    }
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (try_path(folders[i], name, path, cap)) {
            return 0;
        }
    }
    return -ENOENT;
}

static int file_load(struct conf *conf, const struct conf_request *request)
{
    char path[4096];

    if (conf_file_find(request->file, path, sizeof(path)) == 0) {
        return conf_load_file(conf, path);
    }
    if (request->file != NULL) {
        return conf_load_file(conf, request->file); /* says why it cannot be read */
    }
    conf_say(conf, CONF_NOTE, NULL,
             "there is no turnserver.conf in the usual folders: defaults, environment and command "
             "line are all there is (-c FILE names one)");
    return 0;
}

int conf_load(struct conf *conf, int argc, char **argv)
{
    const size_t errors = conf->severity_count[CONF_ERROR];
    struct conf_request request;

    /* Each part leaves its errors in the findings; what counts is their sum. */
    conf_args_scan(argc, argv, &request);
    if (!request.no_file && file_load(conf, &request) == -ENOMEM) {
        return -ENOMEM;
    }
    if (conf_load_env(conf, environ) == -ENOMEM || conf_load_args(conf, argc, argv) == -ENOMEM) {
        return -ENOMEM;
    }
    return conf_result(conf, errors);
}
