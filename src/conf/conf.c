/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf_int.h"

const void *conf_field(const struct conf *conf, const struct conf_option *option)
{
    return (const char *)conf + option->offset;
}

void *conf_field_of(struct conf *conf, const struct conf_option *option)
{
    return (char *)conf + option->offset;
}

/* Fields are copied, not assigned through a cast pointer: no option need care how it is aligned. */
void conf_number_set(struct conf *conf, enum conf_opt opt, uint64_t number)
{
    const struct conf_option *option = &conf_options[opt];
    const bool flag = number != 0;
    const uint32_t u32 = (uint32_t)number;
    void *field = conf_field_of(conf, option);

    switch (option->type) {
    case CONF_TYPE_flag:
        memcpy(field, &flag, sizeof(flag));
        break;
    case CONF_TYPE_u32:
    case CONF_TYPE_choice:
        memcpy(field, &u32, sizeof(u32));
        break;
    case CONF_TYPE_u64:
        memcpy(field, &number, sizeof(number));
        break;
    case CONF_TYPE_text:
    case CONF_TYPE_list_text:
    case CONF_TYPE_list_addr:
    case CONF_TYPE_list_endpoint:
    case CONF_TYPE_list_range:
    case CONF_TYPE_list_external:
    case CONF_TYPE_list_user:
    case CONF_TYPE_list_prefix:
    case CONF_TYPE_none:
        break;
    }
}

int conf_new(struct conf **out_conf)
{
    struct conf *conf = mem_new(1, sizeof(*conf));

    if (conf == NULL) {
        return -ENOMEM;
    }
    atomic_init(&conf->refs, 1);
    for (int i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];

        conf_number_set(conf, (enum conf_opt)i, option->number);
        if (option->text != NULL) {
            conf_text_set(conf, (enum conf_opt)i, conf_copy(conf, bytes_of(option->text)));
        }
    }
    if (conf->no_memory) {
        conf_unref(conf);
        return -ENOMEM;
    }
    *out_conf = conf;
    return 0;
}

struct conf *conf_ref(struct conf *conf)
{
    atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);
    return conf;
}

void conf_text_free(char *text)
{
    if (text != NULL) {
        secret_wipe(text, strlen(text)); /* any of them may be, or hold, a secret */
        free(text);
    }
}

static void list_free(struct conf_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        conf_text_free(list->items[i].text);
    }
    free(list->items);
}

static void conf_free(struct conf *conf)
{
    for (int i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];

        if (option->type == CONF_TYPE_text) {
            conf_text_set(conf, (enum conf_opt)i, NULL);
        } else if (conf_type_is_list(option->type)) {
            list_free(conf_field_of(conf, option));
        }
    }
    conf_sections_free(conf);
    for (size_t i = 0; i < conf->name_count; i++) {
        free(conf->names[i]);
    }
    free(conf->names);
    free(conf->findings);
    free(conf);
}

void conf_unref(struct conf *conf)
{
    if (conf == NULL) {
        return;
    }
    const unsigned before = atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        conf_free(conf);
    }
}

char *conf_copy(struct conf *conf, struct bytes text)
{
    char *copy = mem_new(1, text.n + 1);

    if (copy == NULL) {
        conf->no_memory = true;
    } else if (text.n > 0) {
        memcpy(copy, text.p, text.n);
    }
    return copy;
}

void conf_text_set(struct conf *conf, enum conf_opt opt, char *text)
{
    char *old;
    void *field = conf_field_of(conf, &conf_options[opt]);

    memcpy(&old, field, sizeof(char *));
    memcpy(field, &text, sizeof(char *));
    conf_text_free(old);
}

bool conf_room(struct conf *conf, void *items, size_t count, size_t size)
{
    void *old;

    if (count >= CONF_LIST_MAX) {
        return false;
    }
    if ((count & (count - 1)) != 0) { /* full only where the count is 0 or a power of two */
        return true;
    }
    void *grown = mem_new(count == 0 ? 1 : 2 * count, size);
    if (grown == NULL) {
        conf->no_memory = true;
        return false;
    }
    memcpy(&old, items, sizeof(void *));
    if (count > 0) {
        memcpy(grown, old, count * size);
    }
    memcpy(items, &grown, sizeof(void *));
    free(old);
    return true;
}

const char *conf_name_keep(struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->name_count; i++) {
        if (strcmp(conf->names[i], name) == 0) {
            return conf->names[i];
        }
    }
    char *copy = conf_copy(conf, bytes_of(name));
    if (copy == NULL || !conf_room(conf, &conf->names, conf->name_count, sizeof(*conf->names))) {
        free(copy);
        return NULL;
    }
    conf->names[conf->name_count++] = copy;
    return copy;
}

void conf_list_add(struct conf *conf, enum conf_opt opt, struct bytes text,
                   const struct conf_place *place)
{
    struct conf_list *list = conf_field_of(conf, &conf_options[opt]);

    if (list->count >= CONF_LIST_MAX) {
        conf_say(conf, CONF_ERROR, place, "'%s' is given more than %d times",
                 conf_options[opt].name, CONF_LIST_MAX);
        return;
    }
    char *copy = conf_copy(conf, text);
    if (copy == NULL || !conf_room(conf, &list->items, list->count, sizeof(*list->items))) {
        conf_text_free(copy);
        return;
    }
    list->items[list->count++] = (struct conf_text){
        .text = copy, .file = place->file, .line = place->line, .column = place->column};
}

void conf_list_remove(struct conf_list *list, size_t index)
{
    conf_text_free(list->items[index].text);
    list->count--;
    memmove(&list->items[index], &list->items[index + 1],
            (list->count - index) * sizeof(*list->items));
}
