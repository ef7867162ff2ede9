//! What the client says about deliveries, and the desk about PUBREC: ends flights, or takes them a
//! step further.

use std::collections::VecDeque;

use crate::desk::port::Stage;
use crate::mqtt::codec::encode::PUBREL;
use crate::mqtt::codec::reason::Reason;
use crate::mqtt::session::io::SessionIo;

use super::{FLIGHTS_AT_HAND, Flight, Outbound};

impl Outbound {
    /// # Errors
    /// Here and below: an acknowledgement that the flow of this id does not have at this point
    /// (MQTT 5 section 4.13, MQTT-4.8.0-1 of 3.1.1). One for an id that is not in flight at all may
    /// be late, and is only counted.
    pub(in crate::mqtt::session) fn puback(
        &mut self,
        packet_id: u16,
        io: &mut SessionIo,
    ) -> Result<(), Reason> {
        match self.flights.get(&packet_id) {
            Some(&Flight::AtLeastOnce { seq }) => {
                self.flights.remove(&packet_id);
                io.acknowledge(seq, Stage::Done);
            }
            Some(_) => return Err(Reason::Protocol),
            None => io.metrics.stray_acks.add(1),
        }
        Ok(())
    }

    pub(in crate::mqtt::session) fn pubrec(
        &mut self,
        packet_id: u16,
        success: bool,
        io: &mut SessionIo,
    ) -> Result<(), Reason> {
        match self.flights.get(&packet_id).copied() {
            Some(Flight::Sent { seq }) if !success => {
                // MQTT-4.3.3: an error ends the flow, and no PUBREL follows.
                self.flights.remove(&packet_id);
                io.acknowledge(seq, Stage::Done);
            }
            Some(Flight::Sent { seq }) => {
                self.flights.insert(packet_id, Flight::Received { seq });
                self.releasing.push_back((packet_id, seq == 0));
                io.acknowledge(seq, Stage::Received);
                self.send_releases(io);
            }
            Some(Flight::Received { .. }) => {}
            Some(Flight::Released { .. }) => io.output.ack(PUBREL, packet_id, None),
            Some(Flight::AtLeastOnce { .. }) => return Err(Reason::Protocol),
            None => {
                io.metrics.stray_acks.add(1);
                if success {
                    let reason = self.v5.then_some(Reason::PacketIdNotFound);
                    io.output.ack(PUBREL, packet_id, reason);
                }
            }
        }
        Ok(())
    }

    pub(in crate::mqtt::session) fn pubcomp(
        &mut self,
        packet_id: u16,
        io: &mut SessionIo,
    ) -> Result<(), Reason> {
        match self.flights.get(&packet_id) {
            Some(&Flight::Released { seq }) => {
                self.flights.remove(&packet_id);
                io.acknowledge(seq, Stage::Completed);
            }
            // Before PUBREL was sent on this connection there is nothing to complete.
            Some(_) => return Err(Reason::Protocol),
            None => io.metrics.stray_acks.add(1),
        }
        Ok(())
    }

    /// The desk has PUBREC on disk. After a reconnect the flight is new to this connection.
    pub(in crate::mqtt::session) fn release(
        &mut self,
        seq: u64,
        packet_id: Option<u16>,
        io: &mut SessionIo,
    ) {
        let waiting = || {
            let mut flights = self.flights.iter();
            flights
                .find(|(_, flight)| **flight == Flight::Received { seq })
                .map(|(&id, _)| id)
        };
        let Some(packet_id) = packet_id.or_else(waiting) else {
            return;
        };
        match self.releasing.iter_mut().find(|(id, _)| *id == packet_id) {
            Some((_, may_go)) => *may_go = true,
            None => {
                self.flights.insert(packet_id, Flight::Released { seq });
                io.output.ack(PUBREL, packet_id, None);
            }
        }
        self.send_releases(io);
    }

    /// PUBREL goes in the order in which PUBREC came (MQTT-4.6.0-6 of 3.1.1), though some wait for
    /// the desk and others need not.
    fn send_releases(&mut self, io: &mut SessionIo) {
        while let Some((packet_id, true)) = self.releasing.front().copied() {
            self.releasing.pop_front();
            let Some(Flight::Received { seq }) = self.flights.get(&packet_id).copied() else {
                continue;
            };
            self.flights.insert(packet_id, Flight::Released { seq });
            io.output.ack(PUBREL, packet_id, None);
        }
        if self.releasing.is_empty() && self.releasing.capacity() > FLIGHTS_AT_HAND {
            self.releasing = VecDeque::new();
        }
    }
}
