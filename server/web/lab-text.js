// SPDX-License-Identifier: MIT OR Apache-2.0
// The exchange as a text file.

import { clock } from "./lab-log.js";

const COLUMN = 48;

function message(event, isExplained) {
  const lines = (event.lines ?? []).map(({ text, explanation }) => (isExplained && explanation ? `    ${text.padEnd(COLUMN)} | ${explanation}` : `    ${text}`));
  const remarks = isExplained ? (event.remarks ?? []).map((text) => `    ! ${text}`) : [];
  return [...lines, ...remarks];
}

function header(event, isExplained) {
  return [...event.fields, ...(event.jpeg_fields ?? [])].map((field) => {
    const line = `    ${field.name} = ${field.value} (${field.bits})`;
    return isExplained && field.explanation ? `${line.padEnd(COLUMN + 4)} | ${field.explanation}` : line;
  });
}

/** Events as lines of text, with the sentences if they are shown. */
export function asText(events, sessions, isExplained) {
  const lines = [];
  for (const event of events) {
    const session = sessions.get(event.session);
    const start = `${clock(event.time)}  session ${event.session}`;
    if (event.kind === "session") lines.push(`${start}: ${event.peer} has connected (${event.dialect})`);
    if (event.kind === "request") lines.push(`${start}  ${session?.peer ?? "client"} -> server`, ...message(event, isExplained));
    if (event.kind === "reply") lines.push(`${start}  server -> ${session?.peer ?? "client"}`, ...message(event, isExplained));
    if (event.kind === "rtp") lines.push(`${start}: first RTP packet, ${event.payload_bytes} bytes of payload`, ...header(event, isExplained));
    if (event.kind === "state") lines.push(`${start}: state ${event.state.toUpperCase()}`);
    if (event.kind === "end") lines.push(`${start} has ended: ${event.reason}`);
    lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}
