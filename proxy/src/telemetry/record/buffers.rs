//! A record that lives long, like that of a WebSocket, and the buffers that its heads were read into.
//! It changes nothing that can be seen.

use http::{HeaderValue, Uri};

use crate::telemetry::record::Record;

impl Record {
    /// Copies what is left of the heads. What was parsed is a part of the buffer that a connection read it into, and keeps all of
    /// that: some KiB for a path.
    pub(super) fn let_go_of_buffers(&mut self) {
        let answered = self.response.iter_mut().flat_map(|response| response.headers.values_mut());
        let captured = self.captured.headers.iter_mut().flatten().chain(&mut self.captured.user_agent);
        let all = self.request.headers.values_mut().chain(answered).chain(captured);
        all.chain([self.correlation.id.value_mut()]).chain(&mut self.trace.state).for_each(copy);
        if let Ok(uri) = self.request.uri.to_string().parse::<Uri>() {
            self.request.uri = uri;
        }
    }
}

fn copy(value: &mut HeaderValue) {
    if let Ok(mut copied) = HeaderValue::from_bytes(value.as_bytes()) {
        copied.set_sensitive(value.is_sensitive());
        *value = copied;
    }
}
