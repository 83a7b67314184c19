// SPDX-License-Identifier: MIT OR Apache-2.0
// Who is logged in, in the head of each page.

import { byId, setText } from "./dom.js";
import { getJson } from "./api.js";

/** Shows the user's name, or the link to log in if there are users. */
export async function showAccount() {
  try {
    const { user, may_close_sessions: mayClose } = await getJson("/api/v1/server");
    // Without users everybody may close sessions.
    byId("login").hidden = user !== null || mayClose;
    byId("user").hidden = user === null;
    setText(byId("user"), user ?? "");
  } catch {
    // The page itself reports what is wrong.
  }
}
