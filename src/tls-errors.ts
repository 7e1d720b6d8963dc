// What Node's errors of TLS connections tell.

/** Whether it is the peer's certificate that was not accepted here, by the `code` of the error; an alert is the peer's own. */
export function isCertificateError(code: unknown): boolean {
  const name = String(code);
  return /CERT|ISSUER|INVALID_CA|HOSTNAME|LEAF_SIGNATURE/.test(name) && !/ALERT/.test(name);
}
