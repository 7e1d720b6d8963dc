// The content of a message. Encrypting it is the clients' affair: the server and usercast pass the object on without
// looking inside. The demo only ENCODES the text (base64), in the place where a real client encrypts.

export function seal(text) {
  const bytes = new TextEncoder().encode(text);
  return { encrypted: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')) };
}

export function unseal(content) {
  try {
    const bytes = Uint8Array.from(atob(content.encrypted), (character) => character.charCodeAt(0));
    return new TextDecoder().decode(bytes);
  } catch {
    return 'This message cannot be read.';
  }
}
