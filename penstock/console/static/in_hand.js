// Deliveries that were received by hand on this page, until they are settled or their leases end; whichever view shows them.

import { rest } from "./api.js";

const held = new Map();

export const hold = (queue, deliveries) => deliveries.forEach((delivery) => held.set(delivery.receipt_handle, { ...delivery, queue }));

export function inHand() {
  for (const [handle, { visible_at: until }] of held) if (until <= Date.now()) held.delete(handle);
  return [...held.values()];
}

export const remove = { action: "delete" };
export const changeVisibility = (seconds) => ({ action: "change_visibility", visibility_timeout_seconds: seconds });

// Settle a delivery by its receipt handle, in hand or not; returns the server's answer.
export async function settle(queue, handle, action) {
  const reply = await rest.settle([{ queue, receipt_handle: handle, action }]);
  const seconds = action.visibility_timeout_seconds;
  const known = held.get(handle);
  if (known && seconds && reply.outcomes[0].result === "done") held.set(handle, { ...known, visible_at: Date.now() + seconds * 1000 });
  else held.delete(handle);
  return reply;
}
