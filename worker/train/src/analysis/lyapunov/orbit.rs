//! A network as a dynamical system z_t = F(z_{t-1}), with its Jacobian as a product (science
//! reference, section 7.1): z = h, or (h, g) for adaptive networks, or (h, c) for `lstm`.
//!
//! The state moves in the precision of the network; columns are double. The Jacobian is never
//! formed: that of an adaptive network would have (H (1 + S))^2 elements.

use tch::{Kind, Result, TchError, Tensor, no_grad_guard, with_grad};

use crate::dynamics::spectrum::System;
use crate::gauge::Gauge;
use crate::network::{Cell, Held, Network, State, Step};

/// What reaches the neurons from outside.
pub(super) enum Outside {
    /// The same at every step, [B, ..].
    Constant(Tensor),
    /// One tensor [B, ..] per step.
    Steps(std::vec::IntoIter<Tensor>),
}

/// Which variables are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    /// All of the state.
    All,
    /// Only h, as if gain and saturation were constants.
    Neurons,
}

impl Variables {
    /// The number D of variables.
    pub(super) fn dimension(self, network: &Network) -> Result<i64> {
        let rest = network.rest(1)?;
        let inner = rest.inner.as_ref().filter(|_| self == Self::All).map_or(0, Tensor::numel);
        Ok(i64::from(network.hidden()) + crate::tensor::length(inner)?)
    }
}

/// B copies of a network on their way.
pub(super) struct Orbit<'a> {
    network: &'a Network,
    cell: Box<dyn Cell + 'a>,
    outside: Outside,
    state: State,
    tangent: Tangent,
}

/// How columns are pushed through a step.
enum Tangent {
    /// dh' = phi'(a) w_hh dh.
    Neurons { w_hh: Tensor },
    /// Neurons and controllers together.
    Joint(Box<Joint>),
    /// By automatic differentiation.
    Graph,
}

/// The weights that the joint tangents need, in double precision.
struct Joint {
    /// [H, H].
    w_hh: Tensor,
    /// [S, 1].
    u_ag: Tensor,
    /// [S, S].
    w_gg: Tensor,
    /// [1, S].
    w_gn: Tensor,
    /// [1, S].
    w_gs: Tensor,
}

impl<'a> Orbit<'a> {
    /// `network` in `state`, about to receive what comes from `outside`; with `held` gains and
    /// saturations the controllers of an adaptive network rest.
    pub(super) fn new(
        network: &'a Network,
        held: Option<&Held>,
        state: State,
        outside: Outside,
        variables: Variables,
    ) -> Result<Self> {
        let _guard = no_grad_guard();
        let cell = network.cell(held, &mut Gauge::counting())?;
        let adapts = network.parameter("w_gg").is_some() && held.is_none();
        let tangent = if network.parameter("w_hh").is_none() {
            Tangent::Graph
        } else if adapts && variables == Variables::All {
            Tangent::Joint(Box::new(Joint::new(network)?))
        } else {
            Tangent::Neurons { w_hh: weights(network, "w_hh")? }
        };
        Ok(Self { network, cell, outside, state, tangent })
    }

    /// Where the copies are.
    #[cfg(test)]
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// What reaches the neurons in the next step.
    fn receive(&mut self) -> Result<Tensor> {
        match &mut self.outside {
            Outside::Constant(external) => Ok(external.shallow_clone()),
            Outside::Steps(steps) => {
                steps.next().ok_or_else(|| TchError::Shape("the sequence has ended".to_owned()))
            }
        }
    }

    /// Advances by one step with what comes from outside.
    fn go(&mut self, external: &Tensor) -> Result<Step> {
        let _guard = no_grad_guard();
        let step = self.cell.step(external, &self.state, &mut Gauge::counting())?;
        self.state = step.state.share();
        Ok(step)
    }

    /// Columns by automatic differentiation, before the step that they are pushed through.
    ///
    /// Backward passes give u^T J; that is linear in u, and its derivative by u in the direction of
    /// a column is J times the column.
    fn differentiate(&self, external: &Tensor, columns: &Tensor) -> Result<Tensor> {
        let (batch, dimension, count) = columns.size3()?;
        let kind = self.state.h.f_kind()?;
        // One copy of the network per column.
        let copies = |tensor: &Tensor| {
            let (_, width) = tensor.size2()?;
            let copies = tensor.f_unsqueeze(1)?.f_expand([batch, count, width], false)?;
            copies.f_reshape([batch * count, width])
        };
        let leaf = |tensor: &Tensor| copies(tensor)?.f_detach_copy()?.f_set_requires_grad(true);
        let mut from = vec![leaf(&self.state.h)?];
        if let Some(inner) = &self.state.inner {
            from.push(leaf(inner)?);
        }
        let state =
            State { h: from[0].shallow_clone(), inner: from.get(1).map(Tensor::shallow_clone) };
        let next = self.cell.step(&copies(external)?, &state, &mut Gauge::counting())?.state;
        let mut parts = vec![next.h];
        parts.extend(next.inner);
        let to = Tensor::f_cat(&parts, 1)?;
        let u = to.f_zeros_like()?.f_set_requires_grad(true)?;
        let products = Tensor::f_run_backward(&[to.f_mul(&u)?], &from, true, true)?;
        let columns = columns.f_transpose(1, 2)?.f_reshape([batch * count, dimension])?;
        let columns = columns.f_to_dtype(kind, false, false)?;
        let along = Tensor::f_cat(&products, 1)?.f_mul(&columns)?;
        let pushed = Tensor::f_run_backward(&[along], &[&u], false, false)?.remove(0);
        pushed.f_detach()?.f_reshape([batch, count, dimension])?.f_transpose(1, 2)
    }
}

impl System for Orbit<'_> {
    fn advance(&mut self) -> Result<()> {
        let external = self.receive()?;
        self.go(&external).map(drop)
    }

    fn push(&mut self, columns: &Tensor) -> Result<Tensor> {
        let external = self.receive()?;
        if matches!(self.tangent, Tangent::Graph) {
            let pushed = with_grad(|| self.differentiate(&external, columns))?;
            self.go(&external)?;
            return double(&pushed);
        }
        let step = self.go(&external)?;
        let _guard = no_grad_guard();
        let slopes = self.network.slopes(&step)?.ok_or_else(no_slope)?;
        let x = double(&slopes.x)?.f_expand_as(&step.state.h)?.f_unsqueeze(2)?;
        match &self.tangent {
            Tangent::Neurons { w_hh } => w_hh.f_matmul(columns)?.f_mul(&x),
            Tangent::Joint(joint) => {
                let (n, s) = slopes.shape.ok_or_else(no_slope)?;
                let by_shape = [double(&n)?.f_unsqueeze(2)?, double(&s)?.f_unsqueeze(2)?];
                let g = step.state.inner.as_ref().ok_or_else(no_slope)?;
                joint.push(columns, &x, &by_shape, &double(g)?)
            }
            Tangent::Graph => Err(no_slope()),
        }
    }
}

impl Joint {
    fn new(network: &Network) -> Result<Self> {
        Ok(Self {
            w_hh: weights(network, "w_hh")?,
            u_ag: weights(network, "u_ag")?,
            w_gg: weights(network, "w_gg")?,
            w_gn: weights(network, "w_gn")?,
            w_gs: weights(network, "w_gs")?,
        })
    }

    /// Pushes `columns` [B, H (1 + S), k], h first and then g neuron by neuron, through a step with
    /// the slopes gamma_x, and gamma_n and gamma_s, all [B, H, 1], that led to the controllers
    /// `g` [B H, S]:
    ///
    /// ```text
    /// da = w_hh dh ;  dg_i' = (1 - g_i^2) (u_ag da_i + w_gg dg_i)
    /// dh_i' = gamma_x da_i + gamma_n (w_gn . dg_i') + gamma_s (w_gs . dg_i')
    /// ```
    fn push(&self, columns: &Tensor, x: &Tensor, by: &[Tensor; 2], g: &Tensor) -> Result<Tensor> {
        let (batch, dimension, count) = columns.size3()?;
        let (hidden, units) = (self.w_hh.size2()?.0, self.w_gg.size2()?.0);
        let dh = columns.f_narrow(1, 0, hidden)?;
        let dg = columns.f_narrow(1, hidden, dimension - hidden)?;
        let dg = dg.f_reshape([batch, hidden, units, count])?;
        let da = self.w_hh.f_matmul(&dh)?;
        let bend = g.f_square()?.f_rsub_scalar(1.0)?.f_reshape([batch, hidden, units, 1])?;
        let received = self.u_ag.f_mul(&da.f_unsqueeze(2)?)?;
        let dg = self.w_gg.f_matmul(&dg)?.f_add(&received)?.f_mul(&bend)?;
        let dn = self.w_gn.f_matmul(&dg)?.f_squeeze_dim(2)?;
        let ds = self.w_gs.f_matmul(&dg)?.f_squeeze_dim(2)?;
        let dh = da.f_mul(x)?.f_addcmul(&by[0], &dn)?.f_addcmul(&by[1], &ds)?;
        Tensor::f_cat(&[dh, dg.f_reshape([batch, hidden * units, count])?], 1)
    }
}

/// A parameter in double precision.
fn weights(network: &Network, name: &str) -> Result<Tensor> {
    let parameter = network.parameter(name);
    double(parameter.ok_or_else(|| TchError::Shape(format!("no parameter `{name}`")))?)
}

fn double(tensor: &Tensor) -> Result<Tensor> {
    tensor.f_detach()?.f_to_dtype(Kind::Double, false, false)
}

fn no_slope() -> TchError {
    TchError::Shape("a neuron without a slope".to_owned())
}
