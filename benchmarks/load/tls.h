/* The client side of TLS 1.3 (RFC 8446), just enough to put load on a server of one's own: no input or
   output, one cipher suite (TLS_AES_128_GCM_SHA256), one group (X25519), always a full handshake.

   It does NOT verify who answers. That is on purpose and makes it useless for anything but load: a client
   that verifies certificates costs more than the server it measures, and then measures itself. What the
   server has to do is the same as for any client. */
#ifndef KEYFAST_LOAD_TLS_H
#define KEYFAST_LOAD_TLS_H
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_RECORD_ROOM = 5 + 16384 + 256, TLS_IN_ROOM = 2 * TLS_RECORD_ROOM, TLS_OUT_ROOM = 4 * 16384 };

typedef struct {
  EVP_CIPHER_CTX *cipher;
  uint8_t iv[12];
  uint64_t sequence;
} tls_direction;

typedef struct {
  enum { TLS_HELLO_SENT, TLS_HANDSHAKE, TLS_OPEN, TLS_CLOSED } phase;
  EVP_PKEY *key; /* our key share, made once and used again */
  uint8_t share[32];
  SHA256_CTX transcript;
  uint8_t client_secret[32], server_secret[32], master[32];
  tls_direction in, out;
  uint8_t received[TLS_IN_ROOM]; /* records as they arrive */
  size_t received_length;
  uint8_t message[TLS_IN_ROOM]; /* handshake messages being put together */
  size_t message_length;
  uint8_t to_send[TLS_OUT_ROOM];
  size_t to_send_length;
} tls_client;

/* Make the parts that last for the life of the program; false if libcrypto refuses. */
bool tls_init(tls_client *t);

/* Begin a new connection: a ClientHello is in to_send. */
void tls_start(tls_client *t);

/* Take `n` bytes from the server out of `received` (the caller appended them) and append at most `room` bytes
   of application data to `data`. Returns their number, or -1 when the connection cannot go on. */
long tls_receive(tls_client *t, uint8_t *data, size_t room);

/* Seal application data (at most 16384 bytes) into to_send. */
bool tls_send(tls_client *t, const uint8_t *data, size_t n);

/* Put a close_notify into to_send. */
void tls_close(tls_client *t);
#endif
