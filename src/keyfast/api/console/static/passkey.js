// Passkeys: a form with data-passkey="make" or "use" asks its data-begin what to ask the authenticator for, and then
// sends itself with the answer. Without script, or without WebAuthn, such a form stays hidden.
"use strict";
(() => {
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const readable = (options) => {
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    for (const list of ["excludeCredentials", "allowCredentials"])
      for (const one of options[list] || []) one.id = bytes(one.id);
    return options;
  };
  const writable = (found) => {
    const response = { clientDataJSON: text(found.response.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"])
      if (found.response[part]) response[part] = text(found.response[part]);
    return JSON.stringify({ id: found.id, rawId: text(found.rawId), type: found.type, response });
  };
  const ask = async (form) => {
    const sent = await fetch(form.dataset.begin, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (!sent.ok) throw new Error("Password or code is wrong, or you have to sign in again.");
    const { options, ticket } = await sent.json();
    const publicKey = readable(options);
    const found = await (form.dataset.passkey === "make"
      ? navigator.credentials.create({ publicKey })
      : navigator.credentials.get({ publicKey }));
    form.elements.ticket.value = ticket;
    form.elements.answer.value = writable(found);
    form.submit();
  };
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const told = form.querySelector("[role=alert]");
      told.textContent = "";
      ask(form).catch((fault) => {
        told.textContent = fault.name === "NotAllowedError" ? "Nothing was chosen." : fault.message;
      });
    });
  }
})();
