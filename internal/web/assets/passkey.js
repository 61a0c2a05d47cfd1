"use strict";
// Forms with data-ask are sent once a passkey was used for them. Each press of the button
// asks the server what is to be done, does that one thing, and goes on when all is done.
// What is signed the server works out from the form, and checks against the form again.
(() => {
  const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const text = (buffer) => {
    let s = "";
    for (const b of new Uint8Array(buffer)) s += String.fromCharCode(b);
    return btoa(s);
  };
  const list = (ids) => (ids || []).map((id) => ({ type: "public-key", id: bytes(id) }));

  const create = async (step) => {
    const c = step.create;
    const made = await navigator.credentials.create({ publicKey: {
      rp: { id: step.rp_id, name: "Stint" },
      user: { id: bytes(c.user_id), name: c.user, displayName: c.user },
      challenge: bytes(c.challenge),
      pubKeyCredParams: c.algorithms.map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
      excludeCredentials: list(c.exclude), attestation: "none", timeout: 300000,
    } });
    return { client_data: text(made.response.clientDataJSON), attestation: text(made.response.attestationObject) };
  };

  const get = async (step) => {
    const used = await navigator.credentials.get({ publicKey: {
      rpId: step.rp_id, challenge: bytes(step.get.challenge), allowCredentials: list(step.get.allow), userVerification: "required", timeout: 300000,
    } });
    return { credential: text(used.rawId), client_data: text(used.response.clientDataJSON),
      authenticator_data: text(used.response.authenticatorData), signature: text(used.response.signature) };
  };

  const words = {
    InvalidStateError: "This device has a passkey of yours already. Choose another one, such as a security key.",
    NotAllowedError: "The passkey was not used: it was refused, or it took too long. Try again.",
    SecurityError: "The browser makes no passkeys for this address. Tell an administrator.",
  };

  const attach = (form) => {
    const said = form.querySelector("[role=status]");
    let proof = [], done = false;
    const say = (s) => { said.textContent = s; };
    form.addEventListener("submit", async (e) => {
      const button = e.submitter;
      if (done || !button || button.hasAttribute("data-plain")) return;
      e.preventDefault();
      if (!window.PublicKeyCredential) { say("This browser knows no passkeys."); return; }
      button.disabled = true;
      say("");
      try {
        const body = new URLSearchParams(new FormData(form));
        if (button.name) body.set(button.name, button.value);
        body.set("proof", JSON.stringify(proof));
        const answer = await fetch(form.dataset.ask, { method: "POST", body, redirect: "error" });
        const step = await answer.json();
        if (!answer.ok) {
          say([step.message, step.why, step.next].filter(Boolean).map((s) => s[0].toUpperCase() + s.slice(1) + ".").join(" "));
          button.disabled = false;
          return;
        }
        if (step.nonce) form.elements.nonce.value = step.nonce;
        if (step.create) proof.push(await create(step));
        if (step.get) proof.push(await get(step));
        if (step.then) {
          say(step.then);
          if (step.button) button.textContent = step.button;
          button.disabled = false;
          button.focus();
          return;
        }
      } catch (x) {
        say(words[x.name] || "That did not work (" + x.name + "). Try again.");
        button.disabled = false;
        return;
      }
      form.elements.proof.value = JSON.stringify(proof);
      done = true;
      button.disabled = false;
      form.requestSubmit(button);
    });
  };

  // A stream may bring a form after the page did.
  const attached = new WeakSet();
  const find = () => {
    for (const form of document.querySelectorAll("form[data-ask]")) {
      if (!attached.has(form)) { attached.add(form); attach(form); }
    }
  };
  find();
  document.addEventListener("htmx:sse:after:message", find);
  document.addEventListener("htmx:after:swap", find);
  // Who comes back with the browser's own button begins anew.
  window.addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
})();
