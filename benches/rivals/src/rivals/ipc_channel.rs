//! ipc-channel, between processes: its channels of bytes, which are Unix sockets.

use super::{pair, process};
use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender};
use shm_measure::peer::Opening;
use shm_measure::{Failure, Link, Measured, Result, Serve};

pub const NAME: &str = "ipc-channel";

struct Channels(IpcBytesSender, IpcBytesReceiver);

fn said(error: impl std::fmt::Debug) -> Failure {
    format!("ipc-channel: {error:?}").into()
}

impl Link for Channels {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.send(message).map_err(said)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let message = self.1.recv().map_err(said)?;
        buffer.get_mut(..message.len()).ok_or("a message longer than the buffer")?.copy_from_slice(&message);
        Ok(message.len())
    }
}

pub fn start(_words: usize) -> Result<Box<dyn Measured>> {
    let (server, name) = IpcOneShotServer::<(IpcBytesSender, IpcBytesReceiver)>::new()?;
    let other = process(NAME, vec![name], &[])?;
    let (_, (there, back)) = server.accept().map_err(said)?;
    Ok(pair(NAME, Channels(there, back), other))
}

pub fn open(opening: &Opening) -> Result<Box<dyn Serve>> {
    let server = IpcSender::connect(opening.word(0)?.to_owned())?;
    let ((there, there_end), (back, back_end)) = (ipc::bytes_channel()?, ipc::bytes_channel()?);
    server.send((there, back_end)).map_err(said)?;
    Ok(Box::new(Channels(back, there_end)))
}
