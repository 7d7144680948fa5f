/*
 * Customers who do not exist, with numbers that every checker takes for real ones.
 *
 * Sources. Resident ID number: GB 11643-1999 (area, date of birth, sequence, check character),
 * whose check character is ISO 7064 MOD 11-2. Card number: ISO/IEC 7812-1 with the Luhn check
 * digit of its Annex B. Random numbers: Sebastiano Vigna's splitmix64 (public domain).
 */
#include "quickstart.h"

#include <stdio.h>
#include <string.h>

#define SEED 20240229u
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

const char *const field_names[FIELDS] = {"id_number", "card_number", "home_address"};

static const char *const surnames[] = {"Wang", "Li",   "Zhang", "Liu", "Chen",  "Yang", "Huang",
                                       "Zhao", "Zhou", "Wu",    "Xu",  "Sun",   "Zhu",  "Ma",
                                       "Hu",   "Guo",  "He",    "Lin", "Ouyang"};

static const char *const given_names[] = {
    "Xiuying", "Guiying",  "Xiuzhen",  "Yulan",    "Guilan",   "Xiulan", "Guizhen", "Fengying",
    "Haiyan",  "Tingting", "Xiaoming", "Xiaohong", "Zhiqiang", "Haitao", "Weidong", "Mingxia",
    "Lihua",   "Chunmei",  "Shufen",   "Jiahao",   "Zixuan",   "Yichen", "Ruoxi",   "Siyuan"};

static const char *const streets[] = {"Renmin Road",     "Zhongshan Road",  "Jiefang Avenue",
                                      "Heping Street",   "Changjiang Road", "Yan'an Road",
                                      "Qingnian Street", "Kexue Avenue",    "Binhe Road"};

/* The ID number's area is a whole city's, and persons have their district's: so these numbers are
 * well-formed, and are nobody's. Source of the codes: GB/T 2260. */
static const struct city {
    const char *area;
    const char *name;
} cities[] = {{"110100", "Beijing"},
              {"120100", "Tianjin"},
              {"310100", "Shanghai"},
              {"320100", "Nanjing, Jiangsu"},
              {"330100", "Hangzhou, Zhejiang"},
              {"420100", "Wuhan, Hubei"},
              {"440100", "Guangzhou, Guangdong"},
              {"440300", "Shenzhen, Guangdong"},
              {"510100", "Chengdu, Sichuan"},
              {"610100", "Xi'an, Shaanxi"}};

/* What the payment services' public test numbers begin with: Visa, Mastercard, UnionPay. */
static const char *const test_bins[] = {"411111", "555555", "620000"};

static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned below(uint64_t *state, unsigned limit)
{
    return (unsigned)(draw(state) % limit);
}

#define PICK(state, array) ((array)[below((state), COUNT_OF(array))])

static unsigned digit(char character)
{
    return (unsigned)(character - '0');
}

/* ISO 7064 MOD 11-2 as the standard's recursive method has it. */
static char id_check_character(const char *first_17)
{
    unsigned sum = 0;

    for (size_t i = 0; i < 17; i++) {
        sum = (sum + digit(first_17[i])) * 2 % 11;
    }
    return "0123456789X"[(12 - sum) % 11];
}

static char card_check_digit(const char *first_15)
{
    unsigned sum = 0;

    for (size_t i = 0; i < 15; i++) {
        unsigned value = digit(first_15[i]) * (i % 2 == 0 ? 2 : 1);
        sum += value / 10 + value % 10;
    }
    return (char)('0' + (10 - sum % 10) % 10);
}

static void make_id_number(uint64_t *state, const struct city *city, char *field)
{
    unsigned year = 1940 + below(state, 66);
    unsigned month = 1 + below(state, 12);
    unsigned day = 1 + below(state, 28);
    unsigned sequence = 1 + below(state, 999);

    snprintf(field, FIELD_SIZE, "%s%04u%02u%02u%03u", city->area, year, month, day, sequence);
    field[17] = id_check_character(field);
    field[18] = '\0';
}

static void make_card_number(uint64_t *state, char *field)
{
    const char *bin = PICK(state, test_bins);

    snprintf(field, FIELD_SIZE, "%s%09u", bin, below(state, 1000000000));
    field[15] = card_check_digit(field);
    field[16] = '\0';
}

static void make_home_address(uint64_t *state, const struct city *city, char *field)
{
    unsigned floor = 1 + below(state, 32);
    unsigned room = 1 + below(state, 8);
    unsigned building = 1 + below(state, 40);
    unsigned number = 1 + below(state, 999);
    const char *street = PICK(state, streets);

    snprintf(field, FIELD_SIZE, "Room %u%02u, Building %u, %u %s, %s", floor, room, building,
             number, street, city->name);
}

void generate_customer(int64_t id, struct customer *customer)
{
    uint64_t state = SEED + ((uint64_t)id << 20);
    const struct city *city = &PICK(&state, cities);
    const char *surname = PICK(&state, surnames);

    memset(customer, 0, sizeof *customer);
    customer->id = id;
    snprintf(customer->name, NAME_SIZE, "%s %s", surname, PICK(&state, given_names));
    make_id_number(&state, city, customer->fields[ID_NUMBER]);
    make_card_number(&state, customer->fields[CARD_NUMBER]);
    make_home_address(&state, city, customer->fields[HOME_ADDRESS]);
}

/* By the table of weights and check characters in GB 11643: another way than the one above. */
static bool id_number_is_valid(const char *number)
{
    static const unsigned weights[17] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
    unsigned sum = 0;

    if (strlen(number) != 18 || strspn(number, "0123456789") < 17) {
        return false;
    }
    for (size_t i = 0; i < 17; i++) {
        sum += digit(number[i]) * weights[i];
    }
    return number[17] == "10X98765432"[sum % 11];
}

/* The check digit counts too, and the sum must end in 0. */
static bool card_number_is_valid(const char *number)
{
    static const unsigned doubled[10] = {0, 2, 4, 6, 8, 1, 3, 5, 7, 9};
    unsigned sum = 0;

    if (strlen(number) != 16 || strspn(number, "0123456789") != 16) {
        return false;
    }
    for (size_t i = 0; i < 16; i += 2) {
        sum += doubled[digit(number[i])] + digit(number[i + 1]);
    }
    return sum % 10 == 0;
}

bool customer_is_valid(const struct customer *customer)
{
    return id_number_is_valid(customer->fields[ID_NUMBER]) &&
           card_number_is_valid(customer->fields[CARD_NUMBER]);
}
