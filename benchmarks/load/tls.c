/* See tls.h. Section numbers are those of RFC 8446. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the plain SHA-256 functions: a tenth of the cost of the general ones */
#include "tls.h"

#include <openssl/rand.h>
#include <string.h>

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, APPLICATION_DATA = 23 };
enum { SERVER_HELLO = 2, FINISHED = 20 };
enum { X25519 = 0x001d, KEY_SHARE = 51, HASH = 32, TAG = 16, HEAD = 5 };

static EVP_CIPHER *aes_gcm;
static uint8_t empty_hash[HASH], derived_from_nothing[HASH];

/* ---- key schedule (7.1) ---- */

static void hmac(const uint8_t key[HASH], const uint8_t *data, size_t n, uint8_t out[HASH]) {
  uint8_t pad[64], inner[HASH];
  SHA256_CTX c;
  for (int i = 0; i < 64; i++) pad[i] = (uint8_t)((i < HASH ? key[i] : 0) ^ 0x36);
  SHA256_Init(&c), SHA256_Update(&c, pad, sizeof pad), SHA256_Update(&c, data, n), SHA256_Final(inner, &c);
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
  SHA256_Init(&c), SHA256_Update(&c, pad, sizeof pad), SHA256_Update(&c, inner, HASH), SHA256_Final(out, &c);
}

/* HKDF-Expand-Label for results of at most one hash. */
static void expand(const uint8_t secret[HASH], const char *label, const uint8_t *hash, size_t hash_length,
                   uint8_t *out, size_t n) {
  uint8_t info[64], block[HASH];
  size_t label_length = strlen(label), i = 0;
  info[i++] = 0, info[i++] = (uint8_t)n;
  info[i++] = (uint8_t)(6 + label_length);
  memcpy(info + i, "tls13 ", 6), i += 6;
  memcpy(info + i, label, label_length), i += label_length;
  info[i++] = (uint8_t)hash_length;
  if (hash_length) memcpy(info + i, hash, hash_length), i += hash_length;
  info[i++] = 1;
  hmac(secret, info, i, block);
  memcpy(out, block, n);
}

static void transcript_hash(const tls_client *t, uint8_t out[HASH]) {
  SHA256_CTX copy = t->transcript;
  SHA256_Final(out, &copy);
}

static void use_keys(tls_direction *d, const uint8_t secret[HASH], int encrypt) {
  uint8_t key[16];
  expand(secret, "key", NULL, 0, key, sizeof key);
  expand(secret, "iv", NULL, 0, d->iv, sizeof d->iv);
  EVP_CipherInit_ex(d->cipher, NULL, NULL, key, NULL, encrypt);
  d->sequence = 0;
}

/* ---- records (5.2) ---- */

static void next_nonce(tls_direction *d, uint8_t nonce[12]) {
  memcpy(nonce, d->iv, 12);
  for (int i = 0; i < 8; i++) nonce[11 - i] ^= (uint8_t)(d->sequence >> (8 * i));
  d->sequence++;
}

static bool seal(tls_client *t, uint8_t type, const uint8_t *data, size_t n) {
  uint8_t *head = t->to_send + t->to_send_length, *body = head + HEAD, nonce[12];
  size_t length = n + 1 + TAG;
  int done;
  if (n > 16384 || t->to_send_length + HEAD + length > TLS_OUT_ROOM) return false;
  head[0] = APPLICATION_DATA, head[1] = 3, head[2] = 3;
  head[3] = (uint8_t)(length >> 8), head[4] = (uint8_t)length;
  memcpy(body, data, n);
  body[n] = type;
  next_nonce(&t->out, nonce);
  EVP_CipherInit_ex(t->out.cipher, NULL, NULL, NULL, nonce, 1);
  EVP_CipherUpdate(t->out.cipher, NULL, &done, head, HEAD);
  EVP_CipherUpdate(t->out.cipher, body, &done, body, (int)n + 1);
  EVP_CipherFinal_ex(t->out.cipher, body + n + 1, &done);
  EVP_CIPHER_CTX_ctrl(t->out.cipher, EVP_CTRL_AEAD_GET_TAG, TAG, body + n + 1);
  t->to_send_length += HEAD + length;
  return true;
}

/* Open a record in place; returns the length of its content or -1, and its inner type. */
static long open_record(tls_client *t, uint8_t *record, size_t length, uint8_t *type) {
  uint8_t nonce[12], *body = record + HEAD;
  int done, end;
  if (length < TAG + 1) return -1;
  next_nonce(&t->in, nonce);
  EVP_CipherInit_ex(t->in.cipher, NULL, NULL, NULL, nonce, 0);
  EVP_CipherUpdate(t->in.cipher, NULL, &done, record, HEAD);
  EVP_CipherUpdate(t->in.cipher, body, &done, body, (int)(length - TAG));
  EVP_CIPHER_CTX_ctrl(t->in.cipher, EVP_CTRL_AEAD_SET_TAG, TAG, body + length - TAG);
  if (EVP_CipherFinal_ex(t->in.cipher, body + done, &end) != 1) return -1;
  long n = (long)length - TAG;
  while (n > 0 && body[n - 1] == 0) n--; /* padding */
  if (n == 0) return -1;
  *type = body[n - 1];
  return n - 1;
}

/* ---- handshake (4) ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t n) { return (uint8_t *)memcpy(at, bytes, n) + n; }
static uint8_t *put16(uint8_t *at, size_t n) { return at[0] = (uint8_t)(n >> 8), at[1] = (uint8_t)n, at + 2; }

static uint8_t *extension(uint8_t *at, int type, const void *content, size_t n) {
  return put(put16(put16(at, (size_t)type), n), content, n);
}

void tls_start(tls_client *t) {
  static const uint8_t suites[] = {0, 2, 0x13, 0x01, 1, 0};
  static const uint8_t name[] = "\0\x0c\0\0\x09localhost", groups[] = {0, 2, 0, X25519};
  static const uint8_t signatures[] = {0, 6, 4, 3, 8, 4, 8, 7}, versions[] = {2, 3, 4}, modes[] = {1, 1};
  static const uint8_t protocols[] = "\0\x09\x08http/1.1";
  uint8_t share[38] = {0, 36, 0, X25519, 0, 32}, randoms[64], *message = t->to_send + HEAD, *at = message + 4, *sizes;
  RAND_bytes(randoms, sizeof randoms);
  memcpy(share + 6, t->share, 32);
  at = put16(at, 0x0303);
  at = put(at, randoms, 32);
  *at++ = 32; /* a session id, as clients send for the sake of middleboxes (D.4) */
  at = put(at, randoms + 32, 32);
  at = put(at, suites, sizeof suites);
  sizes = at, at += 2;
  at = extension(at, 0, name, sizeof name - 1);
  at = extension(at, 10, groups, sizeof groups);
  at = extension(at, 13, signatures, sizeof signatures);
  at = extension(at, 16, protocols, sizeof protocols - 1);
  at = extension(at, 43, versions, sizeof versions);
  at = extension(at, 45, modes, sizeof modes);
  at = extension(at, KEY_SHARE, share, sizeof share);
  put16(sizes, (size_t)(at - sizes - 2));
  message[0] = 1, message[1] = 0;
  put16(message + 2, (size_t)(at - message - 4));
  put16(put16(put(t->to_send, "\x16", 1), 0x0301), (size_t)(at - message));
  SHA256_Init(&t->transcript);
  SHA256_Update(&t->transcript, message, (size_t)(at - message));
  t->to_send_length = (size_t)(at - t->to_send);
  t->received_length = t->message_length = 0;
  t->phase = TLS_HELLO_SENT;
}

/* The server's key share, or NULL. A HelloRetryRequest has none of the right length. */
static const uint8_t *server_share(const uint8_t *m, size_t n) {
  if (n < 4 + 35 || m[0] != SERVER_HELLO) return NULL;
  size_t at = 4 + 34 + 1 + (size_t)m[4 + 34] + 3 + 2;
  while (at + 4 <= n) {
    size_t type = (size_t)m[at] << 8 | m[at + 1], length = (size_t)m[at + 2] << 8 | m[at + 3];
    if (type == KEY_SHARE) return length == 36 && at + 40 <= n && m[at + 5] == X25519 ? m + at + 8 : NULL;
    at += 4 + length;
  }
  return NULL;
}

static bool agree(tls_client *t, const uint8_t share[32], uint8_t secret[32]) {
  size_t n = 32;
  EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share, 32);
  EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(t->key, NULL);
  bool good = theirs && c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer_ex(c, theirs, 0) == 1 &&
              EVP_PKEY_derive(c, secret, &n) == 1;
  EVP_PKEY_CTX_free(c);
  EVP_PKEY_free(theirs);
  return good;
}

static bool take_server_hello(tls_client *t, const uint8_t *m, size_t n) {
  const uint8_t *share = server_share(m, n), nothing[HASH] = {0};
  uint8_t shared[32], handshake[HASH], derived[HASH], hash[HASH];
  if (!share || !agree(t, share, shared)) return false;
  SHA256_Update(&t->transcript, m, n);
  transcript_hash(t, hash);
  hmac(derived_from_nothing, shared, sizeof shared, handshake);
  expand(handshake, "c hs traffic", hash, HASH, t->client_secret, HASH);
  expand(handshake, "s hs traffic", hash, HASH, t->server_secret, HASH);
  expand(handshake, "derived", empty_hash, HASH, derived, HASH);
  hmac(derived, nothing, HASH, t->master);
  use_keys(&t->in, t->server_secret, 0);
  use_keys(&t->out, t->client_secret, 1);
  t->phase = TLS_HANDSHAKE;
  return true;
}

static bool take_server_finished(tls_client *t, const uint8_t *m, size_t n) {
  static const uint8_t change_cipher_spec[] = {CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1};
  uint8_t key[HASH], hash[HASH], finished[4 + HASH] = {FINISHED, 0, 0, HASH}, secret[HASH];
  transcript_hash(t, hash);
  expand(t->server_secret, "finished", NULL, 0, key, HASH);
  hmac(key, hash, HASH, finished + 4);
  if (n != sizeof finished || memcmp(finished, m, n) != 0) return false; /* we do not agree on the keys */
  SHA256_Update(&t->transcript, m, n);
  transcript_hash(t, hash);
  expand(t->client_secret, "finished", NULL, 0, key, HASH);
  hmac(key, hash, HASH, finished + 4);
  put(t->to_send + t->to_send_length, change_cipher_spec, sizeof change_cipher_spec);
  t->to_send_length += sizeof change_cipher_spec;
  if (!seal(t, HANDSHAKE, finished, sizeof finished)) return false;
  expand(t->master, "c ap traffic", hash, HASH, secret, HASH);
  use_keys(&t->out, secret, 1);
  expand(t->master, "s ap traffic", hash, HASH, secret, HASH);
  use_keys(&t->in, secret, 0);
  t->phase = TLS_OPEN;
  return true;
}

static bool take_messages(tls_client *t, const uint8_t *content, size_t n) {
  if (t->phase == TLS_OPEN) return true; /* session tickets: never used */
  if (t->message_length + n > sizeof t->message) return false;
  memcpy(t->message + t->message_length, content, n);
  t->message_length += n;
  size_t at = 0;
  while (t->phase != TLS_OPEN && at + 4 <= t->message_length) {
    const uint8_t *m = t->message + at;
    size_t length = 4 + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
    if (at + length > t->message_length) break;
    if (t->phase == TLS_HELLO_SENT) {
      if (!take_server_hello(t, m, length)) return false;
    } else if (m[0] == FINISHED) {
      if (!take_server_finished(t, m, length)) return false;
    } else {
      SHA256_Update(&t->transcript, m, length); /* extensions, certificate and its proof: not looked at */
    }
    at += length;
  }
  t->message_length -= at;
  memmove(t->message, t->message + at, t->message_length);
  return true;
}

/* ---- what the caller sees ---- */

static long take_record(tls_client *t, uint8_t *record, size_t length, uint8_t *data, size_t room) {
  uint8_t type = record[0];
  long n = (long)length;
  if (type == CHANGE_CIPHER_SPEC) return 0;
  if (type == APPLICATION_DATA) n = open_record(t, record, length, &type);
  if (n < 0 || type == ALERT) return -1;
  if (type == HANDSHAKE) return take_messages(t, record + HEAD, (size_t)n) ? 0 : -1;
  if (type != APPLICATION_DATA || (size_t)n > room) return -1;
  memcpy(data, record + HEAD, (size_t)n);
  return n;
}

long tls_receive(tls_client *t, uint8_t *data, size_t room) {
  size_t at = 0;
  long total = 0;
  while (at + HEAD <= t->received_length) {
    uint8_t *record = t->received + at;
    size_t length = (size_t)record[3] << 8 | record[4];
    if (length > TLS_RECORD_ROOM - HEAD) return -1;
    if (at + HEAD + length > t->received_length) break;
    long n = take_record(t, record, length, data + total, room - (size_t)total);
    if (n < 0) return t->phase = TLS_CLOSED, -1;
    total += n;
    at += HEAD + length;
  }
  t->received_length -= at;
  memmove(t->received, t->received + at, t->received_length);
  return total;
}

bool tls_send(tls_client *t, const uint8_t *data, size_t n) { return seal(t, APPLICATION_DATA, data, n); }

void tls_close(tls_client *t) {
  static const uint8_t close_notify[] = {1, 0};
  if (t->phase == TLS_OPEN) seal(t, ALERT, close_notify, sizeof close_notify);
  t->phase = TLS_CLOSED;
}

static EVP_CIPHER_CTX *new_cipher(int encrypt) {
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  return c && EVP_CipherInit_ex(c, aes_gcm, NULL, NULL, NULL, encrypt) == 1 ? c : NULL;
}

bool tls_init(tls_client *t) {
  static const uint8_t nothing[HASH] = {0};
  uint8_t early[HASH];
  size_t n = sizeof t->share;
  if (!aes_gcm) aes_gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
  SHA256(nothing, 0, empty_hash);
  hmac(nothing, nothing, HASH, early);
  expand(early, "derived", empty_hash, HASH, derived_from_nothing, HASH);
  t->key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
  t->in.cipher = aes_gcm ? new_cipher(0) : NULL;
  t->out.cipher = aes_gcm ? new_cipher(1) : NULL;
  return t->key && t->in.cipher && t->out.cipher && EVP_PKEY_get_raw_public_key(t->key, t->share, &n) == 1;
}
