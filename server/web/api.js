// SPDX-License-Identifier: MIT OR Apache-2.0
// Requests to the server.

/** An answer that is not a success: its status, and the server's sentence. */
export class RefusedError extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** Why a request failed, as a sentence for the user. */
export function describe(error) {
  if (error instanceof RefusedError) return error.message;
  return "The server does not answer. It may have ended, or the network is down.";
}

async function refusal(response) {
  let sentence = "";
  const text = (await response.text()).slice(0, 500);
  try {
    sentence = JSON.parse(text).error;
  } catch {
    sentence = text.trim();
  }
  return new RefusedError(response.status, sentence || `The server answers ${response.status} ${response.statusText}.`);
}

/** Sends a request. The answer is a success, otherwise `RefusedError` is thrown. */
export async function request(url, options = {}) {
  const response = await fetch(url, { cache: "no-cache", ...options });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The JSON at an address. */
export async function getJson(url, options) {
  return (await request(url, options)).json();
}

/** A mount's name as a path: each folder encoded on its own. */
export function encodeName(name) {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** The page that plays a mount. */
export function playPath(name) {
  return `/play/${encodeName(name)}`;
}
