// Package token owns keys, signed tokens, the replay journal and the node's
// identity. It is the only importer of the JOSE library and of x/crypto.
//
// # Keys
//
// Ed25519, ECDSA on P-256 and RSA of 2048 to 8192 bits. The key's type fixes
// the signature algorithm: EdDSA, ES256, RS256. Everything else is refused when
// the key is read: other curves, short RSA, points of small order.
//
// The module's own text form is one line:
//
//	ed25519public:<base64 PKIX>:<id>
//	ed25519private:<base64 PKCS #8>:<id>
//	ed25519private-encrypted:<base64 PKCS #8 EncryptedPrivateKeyInfo>:<id>
//
// with ecp256 and rsa2048, rsa3072, … likewise; ":<id>" may be missing. The
// encrypted form is PBES2 (RFC 8018) with scrypt (RFC 7914) and AES-256-CBC, at
// a cost that OpenSSL reads too. PEM (PKIX, PKCS #1, SEC 1, PKCS #8, encrypted
// PKCS #8 and the older DEK-Info kind) and OpenSSH's formats are read as well. An
// authorized_keys line with options is refused: they would not be honoured.
//
// A PrivateKey prints masked through fmt, slog and JSON; only Secret and
// Encrypted give its text. No error of this package repeats key text.
//
// # Tokens
//
// A token is one compact JWS by one key. [Verify] refuses it unless its header
// is exactly alg, typ and perhaps kid; the typ is the caller's; the alg is the
// candidate key's own; and each part is canonical base64url. Every refusal is
// [ErrInvalid] with a reason for the log. The payload is decoded by a strict
// reader: no duplicate members at any depth, no member that differs from a known
// one in case only, valid UTF-8, bounded depth, nothing behind it.
//
// The order for who receives a request: bound the body, Verify, DecodeClaims,
// CheckLife by [Journal.Now], audience and route, [Journal.Use], authorise, act.
//
// # Counter-signatures
//
// [SignApproval], [VerifyApproval]: a token of its own kind, by which a second
// person agrees to the open request with a digest. It lives for minutes, so that
// its uses belong into a journal of their own, opened with the MaxLife of
// wire.ApprovalLife: one for request tokens refuses them, and a node that lost
// the journal then waits for as long as one could live.
//
// # The replay journal
//
// [Journal] remembers used token IDs until their tokens cannot be accepted any
// more, durably before [Journal.Use] returns. See its documentation for what
// holds across restarts, lost files and clocks set back.
//
// # Invariants
//
// No goroutine is started here; concurrent users of a Journal do each other's
// disk writes. Everything but Journal is immutable and safe for concurrent use.
package token
